"""A video segmented in a loop of your own; you will see a line per frame, and own_loop.mp4.

python demos/own_loop.py [SOURCE] [OUT.mp4] [FRAMES]

The parts run one after another here; `app.stream.pipeline.Stream` runs them at the same time.
"""

import sys
from contextlib import closing
from itertools import islice

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Picture, Result
from solov2 import load_model

spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
out = sys.argv[2] if len(sys.argv) > 2 else "own_loop.mp4"
max_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None

model = load_model("nano")
renderer = Renderer(model.class_names)


def draw(result: Result) -> Picture:
    """Return the picture of a frame."""
    return renderer.draw(result, Controls())


with closing(open_source(spec)) as source, closing(VideoSink(out, frame_rate=source.frame_rate)) as video:
    for frame in islice(source, max_frames):
        found = model.predict(frame.image)
        sure = found.select(found.scores >= 0.3)
        video.write(Result(frame, sure, draw=draw))
        names = [model.class_names[label] for label in sure.labels]
        print(f"{frame.pts_seconds:6.2f} s  {', '.join(names) or '-'}")

print(f"saved {out}")
