"""A live stream beside another process that holds a core: milliseconds of the network and frames per second.

    python -m benchmarks.busy_core
    python -m benchmarks.busy_core --starts 5 --seconds 20

Every start is a process of its own, because where the system puts threads and the other process is decided anew in each
of them. "all" lets the network run on all threads, which spin while they wait for each other, as torch does by itself.
"1" is one thread. "auto" is what the commands do: threads wait asleep (`solov2.runtime.openmp`), and there are fewer of
them while that is faster (`solov2.runtime.thread_count`). The ways take turns, as other processes may run.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from app.drawing.renderer import Renderer
from app.sources.demo import DemoSource
from app.stream.controls import Controls
from app.stream.frames import Frame, Result
from app.stream.lane import Lane
from app.stream.parts import Sink
from app.stream.pipeline import Stream
from solov2 import load_model
from solov2.predictor import warm_up
from solov2.runtime.openmp import SPIN_COUNT
from solov2.runtime.torch_predictor import TorchPredictor

WAYS = {"all": {}, "1": {}, "auto": {"GOMP_SPINCOUNT": str(SPIN_COUNT)}}


class LiveClip:
    """The built-in clip as a camera gives it: 30 frames per second, lost if not read."""

    def __init__(self, seconds: float) -> None:
        """End after so many seconds."""
        clip = DemoSource()
        self.source_id, self.is_live, self.frame_hw = "clip", True, clip.frame_hw
        self.frame_rate: float | None = 30.0
        self.frame_count: int | None = None
        self.time_base = Fraction(1, 30)
        self._frames, self._seconds = list(itertools.islice(clip, 60)), seconds

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        began = time.monotonic()
        for index, frame in enumerate(itertools.cycle(self._frames)):
            time.sleep(max(0.0, began + index / 30 - time.monotonic()))
            if time.monotonic() - began > self._seconds:
                return
            yield replace(frame, pts=index, time_base=self.time_base, captured_at=time.monotonic(), index=index)

    def close(self) -> None:
        """Nothing to release."""


class Viewer(Sink):
    """Looks at every picture, and notes how long the network took."""

    policy = "latest"

    def __init__(self) -> None:
        """Note nothing yet."""
        self.network_ms: list[float] = []

    def write(self, result: Result) -> None:
        """Take a result and its picture."""
        self.network_ms.append(result.steps_ms["network"])
        assert result.picture.shape == result.frame.image.shape


def measure(way: str, seconds: float) -> None:
    """Run one stream in this process, and print what it gave."""
    threads = {"auto": None, "1": 1, "all": torch.get_num_threads()}[way]
    model = load_model("nano")
    predictor, renderer, viewer = TorchPredictor(model, threads=threads), Renderer(model.class_names), Viewer()
    warm_up(predictor)
    began = time.monotonic()
    lane = Lane(LiveClip(seconds), [viewer], draw=lambda result: renderer.draw(result, Controls()))
    Stream([lane], predictor).run()
    rate = len(viewer.network_ms) / (time.monotonic() - began)
    print(*np.percentile(viewer.network_ms, (50, 95)), rate)


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep a core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(starts: int, seconds: float, title: str) -> None:
    """Start every way so many times by turns, and print a row for each."""
    rows: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for way in [*WAYS] * starts:
        command = [sys.executable, "-m", "benchmarks.busy_core", "--way", way, "--seconds", str(seconds)]
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, **WAYS[way]}
        ).stdout
        rows[way].append(list(map(float, output.split())))
    for way, values in rows.items():
        columns = [
            "/".join(f"{value:.{digits}f}" for value in column)
            for column, digits in zip(zip(*values, strict=True), (0, 0, 1), strict=True)
        ]
        print(f"{title:6}{way:6}" + "".join(f"{column:>24}" for column in columns), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="of each way (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of each start (%(default)s)")
    parser.add_argument("--way", choices=WAYS, help="run one stream in this process, beside nothing")
    options = parser.parse_args(argv)
    if options.way:
        measure(options.way, options.seconds)
        return 0
    print(f"{'':12}{'network ms, median':>24}{'95th percentile':>24}{'frames per second':>24}   (of each start)")
    compare(options.starts, options.seconds, "idle")
    with busy_core():
        compare(options.starts, options.seconds, "busy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
