"""People before a blurred background, as in a video call; you will see them in blurred.mp4.

python demos/blur_background.py [SOURCE] [OUT.mp4] [FRAMES]

With `0` as the source, from your camera until Ctrl-C. What is drawn is a plain function: here one of your own.
"""

import sys

import cv2
import numpy as np

from app.interrupt import Interrupt
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Picture, Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.runtime.torch_predictor import TorchPredictor


def blur_background(result: Result) -> Picture:
    """Return the frame with everything blurred but the people in it."""
    image = result.frame.image
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), height / 180), (width, height))
    people = (result.instances.id_map > 0).astype(np.float32)
    sharpness = cv2.GaussianBlur(people, (0, 0), height / 360)[..., None]  # (H, W, 1): 1 on people, soft at the edge
    return np.asarray(blurred + sharpness * (image.astype(np.float32) - blurred), dtype=np.uint8)


spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
out = sys.argv[2] if len(sys.argv) > 2 else "blurred.mp4"
max_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None

panel = ControlPanel(Controls(classes=frozenset({"person"})))
source = open_source(spec)
video = VideoSink(out, frame_rate=source.frame_rate, start_at_zero=source.is_live)
lane = Lane(source, [video], draw=blur_background, panel=panel, max_frames=max_frames)
with Interrupt() as interrupt:
    Stream([lane], TorchPredictor(load_model("nano")), interrupt.should_stop).run()
print(f"saved {out}")
