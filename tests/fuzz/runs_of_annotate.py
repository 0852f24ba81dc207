"""Runs that are killed, and two runs on one output: `python -m tests.fuzz.runs_of_annotate --kills 40 --pairs 20`.

A killed run, resumed by the same command, must leave the same bytes as one that was not. Of two runs on one output at
the same time, one is whole, and the other ends with one line and changes nothing.
"""

import argparse
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app import annotate
from tests.fake_annotation import FakeTorchPredictor, use_fake_model
from tests.fake_media import grey, write_video

FRAMES = 30
OUTPUTS = ("instances.jsonl", "annotated.mp4", "coco.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each kind of try; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.runs_of_annotate", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_video(folder / "clip.mp4", [grey(8 * index) for index in range(FRAMES)])
        begun = time.monotonic()
        assert wait_for(start(clip, folder / "whole")) == 0
        seconds = time.monotonic() - begun
        whole = contents(folder / "whole")
        kills = [kill(clip, folder / f"kill{n}", draw.random() * seconds) != whole for n in range(options.kills)]
        peaks_mb = [peak_mb()]
        pairs = [pair(clip, folder / f"pair{n}", draw.random() * seconds / 4) != whole for n in range(options.pairs)]
        peaks_mb.append(peak_mb())
    print("| area | tries | failures | peak memory of a run so far |")
    print("|---|---|---|---|")
    print(f"| a run killed and resumed | {len(kills)} | {sum(kills)} | {peaks_mb[0]:.0f} MB |")
    print(f"| two runs on one output | {len(pairs)} | {sum(pairs)} | {peaks_mb[1]:.0f} MB |")
    return int(any(kills + pairs))


def start(clip: Path, out: Path) -> int:
    """Annotate in a process of its own; return its number."""
    if child := os.fork():
        return child
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        FakeTorchPredictor.seconds_per_frame = 0.01
        with pytest.MonkeyPatch.context() as patched:
            use_fake_model(patched)
            wanted = ["--track", "--video", "--batch", "4", "--format", "coco", "--out", str(out)]
            os._exit(annotate.main([str(clip), *wanted]))
    finally:
        os._exit(99)


def wait_for(child: int) -> int:
    """Return the exit code of a process, -9 for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def peak_mb() -> float:
    """Return the most memory that one of the processes that have ended had."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def contents(out: Path) -> dict[str, bytes]:
    """Return what a run has finished, and the names of whatever else is there."""
    folder = out / "clip"
    others = {path.name: b"" for path in folder.iterdir() if path.name not in (*OUTPUTS, "summary.json")}
    return {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).exists()} | others


def kill(clip: Path, out: Path, seconds: float) -> dict[str, bytes]:
    """Kill a run after some seconds, and resume it."""
    child = start(clip, out)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    wait_for(child)
    wait_for(start(clip, out))
    return contents(out)


def pair(clip: Path, out: Path, seconds: float) -> dict[str, bytes]:
    """Start two runs, the second one some seconds later; return nothing if their exit codes are not 0, and 0 or 2."""
    first = start(clip, out)
    time.sleep(seconds)
    children = [first, start(clip, out)]
    codes = sorted(map(wait_for, children))
    return contents(out) if codes in ([0, 0], [0, 2]) else {}


if __name__ == "__main__":
    raise SystemExit(main())
