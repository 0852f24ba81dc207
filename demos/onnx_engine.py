"""A network in an ONNX file, run by ONNX Runtime; you will see onnx_engine.mp4.

python demos/onnx_engine.py NETWORK.onnx [SOURCE] [OUT.mp4] [FRAMES]

Input "image" (H, W, 3) uint8 RGB; outputs "masks" (N, H, W) probabilities, "scores" (N,) and "labels" (N,), best first;
metadata "names": the classes, divided by commas. pip install onnxruntime
"""

import sys

import onnxruntime

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Picture
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import Instances
from solov2.predictor import ImagePredictor


class OnnxPredictor(ImagePredictor):
    """Takes one image at a time."""

    def __init__(self, path: str) -> None:
        """Read the network."""
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.class_names = tuple(self._session.get_modelmeta().custom_metadata_map["names"].split(","))

    def predict(self, image: Picture) -> Instances:
        """Return what is in an image."""
        return Instances.from_masks(*self._session.run(["masks", "scores", "labels"], {"image": image}))


def main(network: str, spec: str = "demo", out: str = "onnx_engine.mp4", max_frames: str | None = None) -> None:
    """Run the stream."""
    predictor = OnnxPredictor(network)
    renderer = Renderer(predictor.class_names)
    count = int(max_frames) if max_frames else None
    lane = Lane(
        open_source(spec), [VideoSink(out)], draw=lambda result: renderer.draw(result, Controls()), max_frames=count
    )
    Stream([lane], predictor).run()
    print(f"saved {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
