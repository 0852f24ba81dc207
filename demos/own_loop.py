"""A video segmented in a loop of your own; you will see a line per frame, and own_loop.mp4.

python demos/own_loop.py [SOURCE] [OUT.mp4] [FRAMES]

The parts run one after another here; `app.stream.pipeline.run` runs them at the same time.
"""

import sys
from contextlib import closing
from itertools import islice

from app.drawing.renderer import Renderer
from app.segmenter import Segmenter
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.frames import ControlPanel
from solov2 import load_model

spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
out = sys.argv[2] if len(sys.argv) > 2 else "own_loop.mp4"
most_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None

panel = ControlPanel()
model = load_model("nano")
segmenter = Segmenter(model, panel)
renderer = Renderer(model.class_names)

with closing(open_source(spec)) as source, closing(VideoSink(out, frame_rate=source.frame_rate)) as video:
    for result in segmenter(islice(source, most_frames)):
        video.write(result, renderer.draw(result, panel.current))
        names = [model.class_names[label] for label in result.instances.labels]
        print(f"{result.frame.pts_seconds:6.2f} s  {', '.join(names) or '-'}")

print(f"saved {out}")
