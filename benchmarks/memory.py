"""Whether the stream's memory stays flat: 10,000 small frames through the real pipeline into a real MP4.

    python -m benchmarks.memory

Finds nothing, so that all the time goes into the stream. The memory is the process's resident set, on Linux.
"""

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from app.drawing.renderer import Renderer
from app.sinks.mp4 import Mp4Writer
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream.controls import Controls
from app.stream.frames import Picture, Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from app.stream.stats import StreamStats
from tests.fake_stream import FakePredictor

SIZE_HW = (120, 160)
REPORT_AT = (1_000, 2_000, 5_000, 10_000)


def main() -> int:
    """Print the memory after so many frames; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000, help="how many frames to send (%(default)s)")
    count: int = parser.parse_args().frames
    stats, renderer = StreamStats(), Renderer(())

    def draw(result: Result) -> Picture:
        if result.frame.index + 1 in REPORT_AT:
            print(f"{result.frame.index + 1:6d} frames: {resident_mib():6.1f} MiB", flush=True)
        return renderer.draw(result, Controls(), stats.snapshot())

    with tempfile.TemporaryDirectory() as folder:
        source, saved = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        write_noise(source, count)
        Stream([Lane(open_source(str(source)), [VideoSink(saved)], draw=draw, stats=stats)], FakePredictor()).run()
    print(f"{stats.snapshot().displayed} frames at {stats.snapshot().mean_fps:.0f} frames per second")
    return 0


def write_noise(path: Path, count: int) -> None:
    """Write a video of `count` grainy frames."""
    random = np.random.default_rng(0)
    grain = random.integers(0, 255, (16, *SIZE_HW, 3), np.uint8)
    writer = Mp4Writer(path, SIZE_HW, Fraction(1, 30), frame_rate=Fraction(30))
    for pts in range(count):
        writer.add(grain[pts % len(grain)], pts)
    writer.close()


def resident_mib() -> float:
    """The memory that the process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    sys.exit(main())
