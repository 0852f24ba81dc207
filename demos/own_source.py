"""A source of your own, here a camera that zooms into a photograph; you will see own_source.mp4.

python demos/own_source.py [OUT.mp4] [FRAMES]
"""

import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import skimage.data

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.stream.controls import Controls
from app.stream.frames import Frame, Picture
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.runtime.torch_predictor import TorchPredictor

out = sys.argv[1] if len(sys.argv) > 1 else "own_source.mp4"
frame_count = int(sys.argv[2]) if len(sys.argv) > 2 else 60


class Zoom:
    """An `app.stream.parts.Source`."""

    source_id = "zoom"
    is_live = False  # the stream waits for every frame; True: frames are lost if not read
    frame_rate: float | None = 30.0
    frame_count: int | None = frame_count
    frame_hw = (512, 512)
    time_base = Fraction(1, 30)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        photograph: Picture = skimage.data.astronaut()
        for index in range(frame_count):
            margin = 200 * index // frame_count
            view = photograph[: 512 - margin, margin // 2 : 512 - margin // 2]
            image = np.asarray(cv2.resize(view, (512, 512)), np.uint8)
            yield Frame(image, index, self.time_base, time.monotonic(), self.source_id, index)

    def close(self) -> None:
        """There is nothing to release."""


model = load_model("nano")
renderer = Renderer(model.class_names)
lane = Lane(Zoom(), [VideoSink(out)], draw=lambda result: renderer.draw(result, Controls()))
Stream([lane], TorchPredictor(model)).run()
print(f"saved {out}")
