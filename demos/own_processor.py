"""A processor of your own, here one that keeps only the largest instance; you will see own_processor.mp4.

python demos/own_processor.py [SOURCE] [OUT.mp4] [FRAMES]
"""

import sys
from dataclasses import replace

from app.drawing.renderer import Renderer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.runtime.torch_predictor import TorchPredictor

spec = sys.argv[1] if len(sys.argv) > 1 else "demo"
out = sys.argv[2] if len(sys.argv) > 2 else "own_processor.mp4"
max_frames = int(sys.argv[3]) if len(sys.argv) > 3 else None


def keep_largest(result: Result) -> Result:
    """Leave out all instances but the largest."""
    areas = result.instances.areas
    print(f"{result.frame.pts_seconds:6.2f} s: the largest of {len(areas)}")
    return replace(result, instances=result.instances.select(areas == areas.max(initial=0)))


model = load_model("nano")
renderer = Renderer(model.class_names)
lane = Lane(
    open_source(spec),
    [VideoSink(out)],
    [keep_largest],
    draw=lambda result: renderer.draw(result, Controls()),
    max_frames=max_frames,
)
Stream([lane], TorchPredictor(model)).run()
print(f"saved {out}")
