"""A model of your own, here one that finds whatever is bright; you will see own_model.mp4.

python demos/own_model.py [SOURCE] [OUT.mp4] [FRAMES]
"""

import sys

import cv2
import numpy as np

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Picture
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import Instances
from solov2.predictor import ImagePredictor

spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
out = sys.argv[2] if len(sys.argv) > 2 else "own_model.mp4"
max_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None


class BrightSpots(ImagePredictor):
    """Takes one image at a time."""

    class_names = ("spot",)

    def predict(self, image: Picture) -> Instances:
        """Return the bright parts of an image, the largest first."""
        count, parts, stats, _ = cv2.connectedComponentsWithStats((image.min(2) > 200).astype(np.uint8))
        largest = sorted(range(1, count), key=lambda part: -stats[part, cv2.CC_STAT_AREA])[:20]
        masks = np.stack([parts == part for part in largest]) if largest else np.zeros((0, *parts.shape), bool)
        return Instances.from_masks(masks, [1.0] * len(largest), [0] * len(largest))


renderer = Renderer(BrightSpots.class_names)
lane = Lane(
    open_source(spec), [VideoSink(out)], draw=lambda result: renderer.draw(result, Controls()), max_frames=max_frames
)
Stream([lane], BrightSpots()).run()
print(f"saved {out}")
