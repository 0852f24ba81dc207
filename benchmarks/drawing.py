"""How long drawing takes: our renderer beside supervision's annotators, on the same instances in the same run.

    pip install supervision
    python -m benchmarks.drawing --instances 10 30 100 --repeats 25

Supervision (MIT) is needed by this comparison only. It takes dense masks, which are made before the clock starts; ours
takes the one-byte id map that the segmenter hands over. Supervision's annotators draw into a copy of the picture too.

With supervision 0.31.2, on two virtual cores of an AMD EPYC that others kept busy: the processor's time says more
than the clock's.

    1920x1080, x86_64, 2 cores; median ms of 25 calls
       N                                            clock  processor   of MaskAnnotator's
      10  supervision MaskAnnotator                 300.5       73.5      1.000    1.000
      10  supervision PolygonAnnotator (outlines)     33.3        9.3      0.111    0.127
      10  ours: masks, outlines                      46.7       13.2      0.155    0.180
      10  ours: masks, outlines, tags, read-out      50.5       13.9      0.168    0.189
      30  supervision MaskAnnotator                 933.4      212.7      1.000    1.000
      30  supervision PolygonAnnotator (outlines)     99.5       26.1      0.107    0.123
      30  ours: masks, outlines                      48.9       13.1      0.052    0.061
      30  ours: masks, outlines, tags, read-out      70.3       18.4      0.075    0.086
     100  supervision MaskAnnotator                2745.8      611.0      1.000    1.000
     100  supervision PolygonAnnotator (outlines)    274.0       63.7      0.100    0.104
     100  ours: masks, outlines                      48.6       12.9      0.018    0.021
     100  ours: masks, outlines, tags, read-out      95.4       24.1      0.035    0.039
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from app.drawing.renderer import Renderer
from app.stream.controls import Controls
from app.stream.frames import Frame, Result
from app.stream.stats import StreamStats


@dataclass(frozen=True)
class Blobs:
    """Ellipses strewn over a picture, with what both sides want to know of them."""

    masks: np.ndarray  # (N, H, W) bool
    boxes: np.ndarray  # (N, 4) float32 xyxy
    id_map: np.ndarray  # (H, W) uint8
    scores: np.ndarray  # (N,) float32
    labels: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        """How many there are."""
        return len(self.scores)


def make_blobs(count: int, width: int, height: int) -> Blobs:
    """Strew `count` ellipses, each a tenth to a quarter of the picture's height in radius."""
    random = np.random.default_rng(0)
    masks = np.zeros((count, height, width), np.uint8)
    id_map = np.zeros((height, width), np.uint8)
    boxes = np.zeros((count, 4), np.float32)
    for index in reversed(range(count)):
        centre = random.integers((0, 0), (width, height)).tolist()
        radii = (random.uniform(0.1, 0.25, 2) * height * (0.6, 1)).astype(int).tolist()
        cv2.ellipse(masks[index], centre, radii, 0, 0, 360, 1, cv2.FILLED)
        id_map[masks[index] > 0] = index + 1
        left, top, box_width, box_height = cv2.boundingRect(masks[index])
        boxes[index] = left, top, left + box_width, top + box_height
    labels = np.arange(count) % 2
    return Blobs(masks.astype(bool), boxes, id_map, np.linspace(0.99, 0.3, count, dtype=np.float32), labels)


def median_ms(draw: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The median milliseconds of `draw`, on the clock and of all processors together, after one call to warm up."""
    draw()
    clock, processor = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        draw()
        clock.append((time.perf_counter() - started[0]) * 1000)
        processor.append((time.process_time() - started[1]) * 1000)
    return statistics.median(clock), statistics.median(processor)


def our_ways(picture: np.ndarray, blobs: Blobs) -> dict[str, Callable[[], object]]:
    """What the renderer can be asked for."""
    renderer = Renderer(("person", "cat"))
    frame = Frame(picture, 0, Fraction(1, 30), 0.0, "benchmark", 0)
    result = Result(frame, blobs, {})  # type: ignore[arg-type]  # has all that is drawn
    masks_only = Controls(show_labels=False)
    snapshot = StreamStats().snapshot()
    return {
        "ours: masks, outlines": lambda: renderer.draw(result, masks_only),
        "ours: masks, outlines, tags, read-out": lambda: renderer.draw(result, Controls(), snapshot),
    }


def supervision_ways(picture: np.ndarray, blobs: Blobs) -> dict[str, Callable[[], object]]:
    """Supervision's annotators for the same."""
    try:
        import supervision  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        sys.exit(f"error: this benchmark compares with supervision: pip install supervision ({error})")
    detections: Any = supervision.Detections(blobs.boxes, blobs.masks, blobs.scores, blobs.labels)
    by_index = supervision.ColorLookup.INDEX
    masks, outlines = (
        supervision.MaskAnnotator(color_lookup=by_index),
        supervision.PolygonAnnotator(color_lookup=by_index),
    )
    return {
        "supervision MaskAnnotator": lambda: masks.annotate(picture.copy(), detections),
        "supervision PolygonAnnotator (outlines)": lambda: outlines.annotate(picture.copy(), detections),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare the time that drawing takes with supervision's.")
    parser.add_argument("--size", default="1920x1080", help="width x height of the picture")
    parser.add_argument("--instances", type=int, nargs="+", default=[1, 10, 30, 100])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    picture = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    print(f"{width}x{height}, {platform.machine()}, {os.cpu_count()} cores; median ms of {options.repeats} calls")
    print(f"{'N':>4}  {'':38} {'clock':>8} {'processor':>10}   of MaskAnnotator's")
    for count in options.instances:
        blobs = make_blobs(count, width, height)
        ways = supervision_ways(picture, blobs) | our_ways(picture, blobs)
        times = {name: median_ms(draw, options.repeats) for name, draw in ways.items()}
        clock_base, processor_base = times["supervision MaskAnnotator"]
        for name, (clock, processor) in times.items():
            ratios = f"{clock / clock_base:8.3f} {processor / processor_base:8.3f}"
            print(f"{count:4d}  {name:38} {clock:8.1f} {processor:10.1f}   {ratios}")


if __name__ == "__main__":
    main()
