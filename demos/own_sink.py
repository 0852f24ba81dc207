"""An alarm for cats; you will see a line whenever one comes, and its picture as cat_SECONDS.jpg.

python demos/own_sink.py [SOURCE] [FOLDER] [FRAMES]
"""

import sys
from pathlib import Path

import cv2

from app.drawing.renderer import Renderer
from app.segmenter import Segmenter
from app.sources import open_source
from app.stream.frames import ControlPanel, Controls, Result
from app.stream.pipeline import Picture, run
from app.stream.stats import StreamStats
from solov2 import load_model


class CatAlarm:
    """Tells when a cat comes into view, and again only once it has been gone for a second."""

    needs_picture = True
    seen_at = float("-inf")

    def write(self, result: Result, picture: Picture | None) -> None:
        """Look whether there is a cat in the frame."""
        if picture is None or not len(result.instances):
            return
        now = result.frame.pts_seconds
        if now - self.seen_at > 1:
            cv2.imwrite(str(folder / f"cat_{now:.2f}.jpg"), picture[..., ::-1])
            print(f"{now:6.2f} s: a cat")
        self.seen_at = now

    def idle(self) -> None:
        """Do nothing while nothing arrives."""

    def close(self) -> None:
        """There is nothing to end."""


spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
folder.mkdir(parents=True, exist_ok=True)
most_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None

panel = ControlPanel(Controls(classes=frozenset({"cat"})))
model = load_model("nano")
segmenter, renderer = Segmenter(model, panel), Renderer(model.class_names)
stats = StreamStats()
run(
    open_source(spec),
    segmenter,
    lambda result: renderer.draw(result, panel.current),
    [CatAlarm()],
    panel,
    stats,
    max_frames=most_frames,
)
