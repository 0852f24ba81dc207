"""Another family of models in the same stream: torchvision's Mask R-CNN; you will see it in mask_rcnn.mp4.

python demos/mask_rcnn.py [SOURCE] [OUT.mp4] [FRAMES] [WEIGHTS.pth]

Without WEIGHTS, torchvision downloads its own: 80 classes of COCO. With `0` as the source, from your camera.
"""

import sys

import torch
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

from app.drawing.renderer import Renderer
from app.interrupt import Interrupt
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Picture
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import Instances
from solov2.predictor import ImagePredictor

spec, out, frames, weights = (*sys.argv[1:], *("demo", "mask_rcnn.mp4", "1000000", "")[len(sys.argv) - 1 :])


class MaskRCNN(ImagePredictor):
    """Takes one image at a time."""

    class_names = tuple(MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"])

    def __init__(self, weights: str) -> None:
        """Load the weights."""
        known = None if weights else "DEFAULT"
        self.network = maskrcnn_resnet50_fpn(weights=known, weights_backbone=None, min_size=320).eval()
        if weights:
            self.network.load_state_dict(torch.load(weights, weights_only=True))

    @torch.inference_mode()
    def predict(self, image: Picture) -> Instances:
        """Return what is in an image."""
        (found,) = self.network([torch.from_numpy(image).permute(2, 0, 1) / 255])
        return Instances.from_masks(found["masks"][:, 0], found["scores"], found["labels"])


renderer, source = Renderer(MaskRCNN.class_names), open_source(spec)
lane = Lane(source, [VideoSink(out)], draw=lambda result: renderer.draw(result, Controls()), max_frames=int(frames))
with Interrupt() as interrupt:
    Stream([lane], MaskRCNN(weights), interrupt.should_stop).run()
print(f"saved {out}")
