"""Annotate a clip of 100,000 small frames: whether memory stays flat, how much the lines take, and how fast it goes.

    python -m benchmarks.long

The model is `nano` made a quarter of its size, its grids as well as its pictures (96x64, the clip's own), so that the
run takes minutes. Every other part then counts for more than with a real video. The model alone is timed before and
after. The memory is the process's resident set, on Linux.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from app.annotate import annotate
from app.annotation.jsonl_sink import AnnotationSink
from app.sinks.mp4 import Mp4Writer
from app.sources import open_source
from app.stream.frames import Picture
from benchmarks.memory import resident_mib
from benchmarks.stream import model_alone
from solov2 import SOLOv2, load_model

SIZE_HW = (64, 96)
REPORTS = 10


def main() -> int:
    """Print the memory on the way, then the size of the lines and both rates; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000, help="how many frames to annotate (%(default)s)")
    count: int = parser.parse_args().frames
    model = small_model()
    with tempfile.TemporaryDirectory() as folder:
        clip, lines = Path(folder) / "clip.mp4", Path(folder) / "instances.jsonl"
        write_clip(clip, count)
        frames = list(islice(open_source(str(clip)), 2000))
        alone = [model_alone(model, frames, one_by_one=False)]
        header = {"classes": model.class_names, "height": SIZE_HW[0], "width": SIZE_HW[1]}
        sink = AnnotationSink(lines, header)
        began = time.perf_counter()
        for done, _ in enumerate(annotate(clip, model, [sink]), 1):
            if done % max(count // REPORTS, 1) == 0:
                print(f"{done:6d} frames: {resident_mib():6.1f} MiB", flush=True)
        fps = done / (time.perf_counter() - began)
        alone.append(model_alone(model, frames, one_by_one=False))
        size = lines.stat().st_size
        print(f"{sink.instances} instances; the lines take {size / 2**20:.1f} MiB, {size / done:.0f} bytes each")
    mean = sum(alone) / len(alone)
    before, after = alone
    print(f"the model alone: {before:.1f} frames per second before, {after:.1f} after")
    print(f"all of it: {fps:.1f} frames per second, {100 * fps / mean:.0f} % of their mean")
    return 0


def small_model() -> SOLOv2:
    """Return `nano`, looking at pictures of `SIZE_HW` as they are; its grids follow their size."""
    model = load_model("nano")
    model.variant = replace(model.variant, long_px=max(SIZE_HW), short_px=min(SIZE_HW))
    return model


def resize_area(image: Picture) -> Picture:
    """Return `image` at the clip's size."""
    return np.asarray(cv2.resize(image, SIZE_HW[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def write_clip(path: Path, count: int) -> None:
    """Write the built-in clip again and again, made small."""
    pictures = [resize_area(frame.image) for frame in open_source("demo")]
    writer = Mp4Writer(path, SIZE_HW, open_source("demo").time_base)
    for index in range(count):
        writer.add(pictures[index % len(pictures)], index)
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
