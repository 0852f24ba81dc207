"""Workers of `app.annotate --ray` against one machine: the bytes, the rates, a worker killed, a driver killed.

    python -m benchmarks.archive                               # the built-in clip, by nano
    python -m benchmarks.archive --source VIDEO.mp4            # a clip of yours
    python -m benchmarks.archive --cheap --frames 10000 --chunk 1000   # a long file of small pictures, by a cheap model

Each run is a command of its own, with a Ray of its own on this machine. The clip that is written has B-frames and open
GOPs. Rates are those of the command's own summary: from the plan to the merged lines, without Ray's start. Needs Linux.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

from app import annotate
from app.annotation.job import WantedOutputs
from app.annotation.jsonl_file import Recording
from app.annotation.jsonl_lines import encode_line
from app.cluster.chunk import Chunk
from app.cluster.chunk_files import ChunkFiles
from app.cluster.chunk_worker import Annotated
from app.cluster.merging import Merger
from app.cluster.ray_run import annotate_on_ray
from app.sources import open_source
from tests.fake_cluster import open_fake

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
SIZE_WH, SMALL_WH = (640, 360), (96, 64)
X264 = {"x264-params": "keyint=60:bframes=3:open-gop=1", "preset": "veryfast"}
DRIVE = "--drive"  # this module as the driver with the cheap model


@dataclass(frozen=True)
class Setting:
    """The clip, the folder of the outputs, and the options that all runs have in common."""

    clip: Path
    folder: Path
    is_cheap: bool
    chunk: int

    def command(self, out: str, workers: int | None, cores: str = "") -> list[str]:
        """Return a command that annotates the clip, on so many workers; None stands for one machine without Ray."""
        module = ["app.annotate"]
        if self.is_cheap:
            module = ["tests.fake_annotation", "0"] if workers is None else ["benchmarks.archive", DRIVE]
        command = [sys.executable, "-m", *module, str(self.clip), "--out", str(self.folder / out), "--track", "--json"]
        if workers is not None:
            command += ["--ray", "local", "--ray-workers", str(workers), "--ray-chunk", str(self.chunk)]
        return ["taskset", "-c", cores, *command] if cores else command

    def lines(self, out: str) -> bytes:
        """Return the lines that a run wrote."""
        return next((self.folder / out).glob("*/instances.jsonl")).read_bytes()

    def has_chunks(self, out: str, count: int) -> bool:
        """Whether a run has stored so many chunks."""
        return sum(1 for _ in (self.folder / out).glob("*/chunks.partial/*.jsonl")) >= count


def main(argv: Sequence[str] | None = None) -> int:
    """Run all of it and print what came out; return the exit code: 1 if any bytes differ."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == [DRIVE]:
        return drive(arguments[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="a video; without it the built-in clip is written into one")
    parser.add_argument("--frames", type=int, default=300, help="of the clip that is written (%(default)s)")
    parser.add_argument("--chunk", type=int, default=50, help="frames of a chunk (%(default)s)")
    parser.add_argument("--cheap", action="store_true", help="a model that costs nothing, and small pictures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        clip = options.source or write_clip(Path(folder) / "clip.mp4", options.frames, options.cheap)
        return 0 if compare(Setting(clip, Path(folder), options.cheap, options.chunk)) else 1


def drive(arguments: Sequence[str]) -> int:
    """Be `app.annotate --ray` with the cheap model."""
    options = annotate.build_parser().parse_args(arguments)
    return annotate_on_ray(options, WantedOutputs(), open_fake)


def compare(setting: Setting) -> bool:
    """Print a line for each run; return whether all of them wrote the same bytes."""
    run(setting, "one machine, no Ray", "plain", None)
    expected = setting.lines("plain")
    runs = [
        ("1 worker on 1 core", "one", 1, "0"),
        ("1 worker on all cores", "all", 1, ""),
        ("2 workers", "two", 2, ""),
    ]
    for label, out, workers, cores in runs:
        run(setting, label, out, workers, cores)
    with_killed_worker(setting, "killed")
    with_killed_driver(setting, "again")
    names = ["one", "all", "two", "killed", "again"]
    same = [setting.lines(name) == expected for name in names]
    count = expected.count(b"\n") - 1
    print(f"merging: {merge_rate(setting, expected):.0f} frames per second of one driver, ids included")
    print(f"{sum(same)} of {len(same)} wrote the bytes of one machine: {count} frames, {len(expected)} bytes")
    return all(same)


def merge_rate(setting: Setting, lines: bytes) -> float:
    """Return how many frames per second a driver merges, with tracking, of the lines that a run wrote."""
    header, *frames = [json.loads(line) for line in lines.splitlines()]
    for frame in frames:
        for one in frame["instances"]:
            one.pop("track_id")
    chunk = Chunk(0, tuple(frame["frame"] for frame in frames))
    seconds = 0.0
    for turn in ("first", "second"):  # the first one imports the tracker's libraries
        folder = setting.folder / f"merged_{turn}"
        stored = ChunkFiles(folder, header)
        stored.write(chunk, Annotated(b"".join(map(encode_line, frames)), len(frames)))
        began = time.perf_counter()
        merger = Merger(Recording(folder), header, 1, True)
        found = stored.find(chunk)
        assert found is not None
        merger.append(chunk, found)
        seconds = time.perf_counter() - began
    return len(frames) / seconds


def run(setting: Setting, label: str, out: str, workers: int | None, cores: str = "") -> None:
    """Run one command to its end and print its rate."""
    began = time.perf_counter()
    done = subprocess.run(setting.command(out, workers, cores), cwd=ROOT, capture_output=True, text=True, check=True)
    tell(label, done.stdout, began)


def with_killed_worker(setting: Setting, out: str) -> None:
    """Kill a worker with SIGKILL in the middle of its second chunk or a later one."""
    began = time.perf_counter()
    process = start(setting, out)
    victim = wait_for(process, lambda: next(busy_workers(process.pid), 0) if setting.has_chunks(out, 2) else 0)
    os.kill(victim, signal.SIGKILL)
    told, errors = process.communicate()
    tell(f"2 workers, one killed ({errors.count('is done again')} chunk done again)", told, began)


def with_killed_driver(setting: Setting, out: str) -> None:
    """Kill the driver with SIGKILL after some chunks, and start it again."""
    began = time.perf_counter()
    process = start(setting, out)
    wait_for(process, lambda: setting.has_chunks(out, 2))
    process.kill()
    process.communicate()
    kept = sum(1 for _ in (setting.folder / out).glob("*/chunks.partial/*.jsonl"))
    print(f"the driver was killed with {kept} chunks done, and is started again:")
    done = subprocess.run(setting.command(out, 2), cwd=ROOT, capture_output=True, text=True, check=True)
    tell("2 workers, driver killed", done.stdout, began)


def start(setting: Setting, out: str) -> "subprocess.Popen[str]":
    """Start two workers in the background."""
    pipe = subprocess.PIPE
    return subprocess.Popen(setting.command(out, 2), cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def wait_for(process: "subprocess.Popen[str]", condition: Callable[[], T]) -> T:
    """Return the first true value of `condition` while the process runs."""
    while not (value := condition()):
        if process.poll() is not None:
            raise SystemExit("it was over before it could be killed: use more frames, or smaller chunks")
        time.sleep(0.01)
    return value


def busy_workers(driver: int) -> Iterator[int]:
    """Yield the processes of workers that annotate a chunk for this driver."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::ChunkWorker.annotate" in (folder / "cmdline").read_bytes() and descends(int(folder.name), driver):
                yield int(folder.name)
        except OSError:
            continue  # it has ended


def descends(process: int, ancestor: int) -> bool:
    """Whether a process was started by another one, or by one that it started."""
    while process not in (0, 1, ancestor):
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process == ancestor


def tell(label: str, summary: str, began: float) -> None:
    """Print a run: its own rate, and the seconds of the whole command."""
    (one,) = json.loads(summary)
    took = time.perf_counter() - began
    print(f"{label:42s} {one['new_frames']:6d} frames, {one['fps']:7.1f} fps; {took:6.1f} s in all", flush=True)


def write_clip(path: Path, count: int, is_small: bool) -> Path:
    """Write the built-in clip again and again, with B-frames and open GOPs."""
    size = SMALL_WH if is_small else SIZE_WH
    images = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in open_source("demo")]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=X264)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            image = np.asarray(images[index % len(images)], np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    sys.exit(main())
