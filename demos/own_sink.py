"""An alarm for cats; you will see a line whenever one comes, and its picture as cat_SECONDS.jpg.

python demos/own_sink.py [SOURCE] [FOLDER] [FRAMES]
"""

import sys
from pathlib import Path

import cv2

from app.drawing.renderer import Renderer
from app.sources import open_source
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Result
from app.stream.lane import Lane
from app.stream.parts import Sink
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.runtime.torch_predictor import TorchPredictor


class CatAlarm(Sink):
    """Tells when a cat comes into view, and again only once it has been gone for a second."""

    seen_at = float("-inf")

    def write(self, result: Result) -> None:
        """Look whether there is a cat in the frame; only then its picture is drawn."""
        if not len(result.instances):
            return
        now = result.frame.pts_seconds
        if now - self.seen_at > 1:
            cv2.imwrite(str(folder / f"cat_{now:.2f}.jpg"), result.picture[..., ::-1])
            print(f"{now:6.2f} s: a cat")
        self.seen_at = now


spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
folder.mkdir(parents=True, exist_ok=True)
max_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None

panel = ControlPanel(Controls(classes=frozenset({"cat"})))
model = load_model("nano")
renderer = Renderer(model.class_names)
lane = Lane(
    open_source(spec),
    [CatAlarm()],
    draw=lambda result: renderer.draw(result, panel.current),
    panel=panel,
    max_frames=max_frames,
)
Stream([lane], TorchPredictor(model)).run()
