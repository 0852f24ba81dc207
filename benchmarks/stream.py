"""What the stream costs beside the model: both on the same frames of one file, in turns, in one run.

    python -m benchmarks.stream
    python -m benchmarks.stream --source VIDEO.mp4 --model nano --frames 200

"model alone" segments frames that lie decoded in memory. "whole stream" decodes them from the file, segments, draws and
encodes them into an MP4. The built-in clip is first written into a video file, so that it has to be decoded too.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import torch

from app.drawing.renderer import Renderer
from app.sinks.mp4 import Mp4Writer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Frame, Picture, Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from app.stream.stats import StreamStats
from solov2 import SOLOv2, load_model
from solov2.cli import CommandParser, add_debug_flag, run_command
from solov2.ordered_map import ordered_map
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.torch_predictor import TorchPredictor

TARGET = 0.85


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; return its exit code."""
    parser = CommandParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--source", default="demo", help="a video file, or 'demo' (%(default)s)")
    parser.add_argument("--model", default="nano", help="a variant's name or a weights file (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (%(default)s)")
    parser.add_argument("--frames", type=int, default=150, help="how many frames to take (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure both (%(default)s)")
    parser.add_argument("--one-by-one", action="store_true", help="segment each frame as if it were live")
    add_debug_flag(parser)
    return run_command(parser, compare, argv)


def compare(options: argparse.Namespace) -> int:
    """Print both rates and their ratio; return the exit code."""
    device = find_device(options.device)
    model = load_model(options.model, device=device, dtype=options.dtype)
    with tempfile.TemporaryDirectory() as folder:
        source = options.source if options.source != "demo" else write_demo(Path(folder) / "demo.mp4", options.frames)
        with closing(open_source(source)) as opened:
            frames = list(islice(opened, options.frames))
        rounds = []
        for _ in range(options.rounds):
            alone = model_alone(model, frames, options.one_by_one)
            stream = whole_stream(model, source, len(frames), Path(folder) / "out.mp4", options.one_by_one)
            rounds.append((alone, stream))
            print("model alone {:6.1f}   whole stream {:6.1f} frames per second".format(*rounds[-1]))
    ratio = statistics.median(stream / alone for alone, stream in rounds)
    height, width = frames[0].image.shape[:2]
    print(
        f"the stream runs at {ratio:.1%} of the model alone (target {TARGET:.0%}), the median of {len(rounds)} rounds"
    )
    print(f"{len(frames)} frames of {options.source}, {width}x{height}")
    print(f"{options.model} on {model.device} in {model.dtype}, torch {torch.__version__}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    return 0


def write_demo(path: Path, count: int) -> str:
    """Write the first frames of the built-in clip into a video file; return its path."""
    with closing(open_source("demo")) as demo:
        writer = Mp4Writer(path, demo.frame_hw, demo.time_base)
        for frame in islice(demo, count):
            writer.add(frame.image, frame.pts)
        writer.close()
    return str(path)


def model_alone(model: SOLOv2, frames: list[Frame], one_by_one: bool) -> float:
    """Return how many frames per second the model segments, from memory."""
    predictor = TorchPredictor(model, "latency" if one_by_one else "throughput")
    warm_up(predictor)
    images = [frame.image for frame in frames]
    threshold = Controls().score_threshold
    started = time.perf_counter()
    for _ in ordered_map(lambda image: predictor.predict_batch([image], threshold), images, predictor.workers):
        pass
    return len(frames) / (time.perf_counter() - started)


def whole_stream(model: SOLOv2, source: str, count: int, saved: Path, one_by_one: bool) -> float:
    """Return how many frames per second go from the file `source` through every part into the file `saved`."""
    predictor = TorchPredictor(model, "latency" if one_by_one else "throughput")
    warm_up(predictor)
    renderer, stats = Renderer(model.class_names), StreamStats()

    def draw(result: Result) -> Picture:
        return renderer.draw(result, Controls(), stats.snapshot())

    started = time.perf_counter()
    lane = Lane(open_source(source), [VideoSink(saved)], draw=draw, stats=stats, max_frames=count)
    Stream([lane], predictor).run()
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
