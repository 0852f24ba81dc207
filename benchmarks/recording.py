"""Recording a live source: what a kill leaves, and whether segments and pre-roll lie where they should.

    python -m benchmarks.recording
    python -m benchmarks.recording --kills 10 --minutes 60 --segment-seconds 10

The source makes timestamps of an uneven rate up. For the kill they come in real time; for the segments as fast as they
can be encoded, so that an hour takes minutes.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from app.sinks.live_video_sink import LiveVideoSink
from app.sinks.recording_plan import RecordingPlan
from app.stream.frames import Frame, Result
from benchmarks.live_clips import print_table
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop

TICK = Fraction(1, 1_000_000)
HW = (180, 320)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60, help="of segments, on the clock of the source (60)")
    parser.add_argument("--segment-seconds", type=float, default=10)
    parser.add_argument("--endless", type=Path, help=argparse.SUPPRESS)  # the process that is killed
    options = parser.parse_args()
    if options.endless is not None:
        record_for_ever(options.endless)
    with tempfile.TemporaryDirectory() as folder:
        kill(Path(folder), options.kills)
        segments(Path(folder), options.minutes, options.segment_seconds)
        pre_roll(Path(folder))


def times(seed: int = 1) -> Iterator[int]:
    """Timestamps in microseconds, 20 to 50 ms apart."""
    chance, ticks = np.random.default_rng(seed), 5_000_000
    while True:
        yield ticks
        ticks += int(chance.integers(20_000, 50_000))


def result_at(ticks: int, has_person: bool = False) -> Result:
    """Return a picture that changes, with a person or without."""
    image = np.full((*HW, 3), ticks // 40_000 % 256, np.uint8)
    crops = [MaskCrop(10, 10, np.ones((50, 30), np.bool_))] if has_person else []
    found = Instances.from_crops(crops, [0.9] * len(crops), [0] * len(crops), HW)
    return Result(Frame(image, ticks, TICK, time.monotonic(), "made up", 0), found)


def record_for_ever(path: Path) -> None:
    """Record in real time until killed."""
    sink = LiveVideoSink(path, frame_rate=30.0)
    started = None
    for ticks in times():
        started = time.monotonic() - ticks / 1e6 if started is None else started
        time.sleep(max(0.0, started + ticks / 1e6 - time.monotonic()))
        sink.write(result_at(ticks))
        print(ticks, flush=True)


def seconds_in(path: Path) -> list[float]:
    """Decode a file, and return the times of its pictures."""
    with av.open(str(path)) as container:
        return [float((picture.pts or 0) * (picture.time_base or 0)) for picture in container.decode(video=0)]


def largest_error(seconds: list[float], expected: list[int]) -> float:
    """Return the largest error of the times in milliseconds; the first picture is at 0."""
    pairs = zip(seconds, expected, strict=False)
    return max((abs(got - (ticks - expected[0]) / 1e6) * 1000 for got, ticks in pairs), default=0.0)


def kill(folder: Path, count: int) -> None:
    """Kill a recording at random moments."""
    chance, rows = np.random.default_rng(0), []
    for suffix in (".mp4", ".mkv"):
        plays, errors, lost = 0, [], []
        for number in range(count):
            path = folder / f"kill-{number}{suffix}"
            command = [sys.executable, "-m", "benchmarks.recording", "--endless", str(path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(chance.uniform(2.5, 7.0))
                process.send_signal(signal.SIGKILL)
                written = [int(line) for line in process.stdout]
            expected = list(islice(times(), len(written) + 1))
            seconds = seconds_in(path)
            plays += bool(seconds)
            errors.append(largest_error(seconds, expected))
            lost.append((expected[-1] - expected[0]) / 1e6 - (seconds[-1] if seconds else 0.0))
        rows.append((suffix, count, plays, f"{max(errors):.3f} ms", f"{np.median(lost):.2f} s", f"{max(lost):.2f} s"))
    print_table(("format", "kills", "files that play", "largest error of a time", "lost, median", "worst"), rows)


def segments(folder: Path, minutes: float, segment_seconds: float) -> None:
    """Record segments, and compare every picture's time with the source's."""
    sink = LiveVideoSink(folder / "seg.mp4", RecordingPlan(segment_seconds=segment_seconds), frame_rate=30.0)
    expected = []
    for ticks in times():
        if ticks - 5_000_000 > minutes * 60e6:
            break
        expected.append(ticks)
        sink.write(result_at(ticks))
    sink.close()
    at, worst, longest = 0, 0.0, 0.0
    for path in sink.files:
        seconds = seconds_in(path)
        worst = max(worst, largest_error(seconds, expected[at : at + len(seconds)]))
        longest = max(longest, seconds[-1])
        at += len(seconds)
    print_table(
        (
            "on the source's clock",
            "segment",
            "files",
            "pictures given",
            "in the files",
            "largest error",
            "longest file",
        ),
        [
            (
                f"{minutes:g} min",
                f"{segment_seconds:g} s",
                len(sink.files),
                len(expected),
                at,
                f"{worst:.3f} ms",
                f"{longest:.2f} s",
            )
        ],
    )


def pre_roll(folder: Path) -> None:
    """Let a person appear, and look how long before that the file begins."""
    rows = []
    for asked in (1.0, 5.0, 10.0):
        plan = RecordingPlan(record_when=frozenset({"person"}), pre_roll_seconds=asked)
        sink = LiveVideoSink(folder / f"roll-{asked:g}.mp4", plan, class_names=("person",), frame_rate=30.0)
        expected = list(islice(times(), 1500))
        seen = expected[700:760]
        for ticks in expected:
            sink.write(result_at(ticks, ticks in seen))
        sink.close()
        (path,) = sink.files
        last = max(ticks for ticks in expected if ticks <= seen[-1] + plan.linger_seconds * 1e6)
        begins = last / 1e6 - seconds_in(path)[-1]
        after = (last - seen[-1]) / 1e6
        rows.append((f"{asked:g} s", f"{seen[0] / 1e6 - begins:.2f} s", f"{after:.2f} s"))
    print_table(("pre-roll asked for", "recorded before the person", "after the person"), rows)


if __name__ == "__main__":
    main()
