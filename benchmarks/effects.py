"""How many milliseconds each processor and each effect adds to a frame, as a Markdown table.

python -m benchmarks.effects --size 1280x720 --instances 10
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial

import cv2
import numpy as np

from app.drawing.effects import apply_effects
from app.drawing.renderer import Renderer
from app.events.delivery import Delivery, ShouldStop, Target
from app.events.publishing import Publishing
from app.events.record import EventRecord
from app.processors.mask_hold import MaskHold
from app.processors.one_name import OneName
from app.processors.tracking import Tracking
from app.processors.watching import Watching
from app.stream.areas import Area
from app.stream.controls import ControlPanel, Controls
from app.stream.effect import Effect, parse_effect
from app.stream.frames import Frame, Hidden, Result
from benchmarks.drawing import make_blobs
from solov2 import Instances

NAMES = ("person", "cat")
ZONE = Area("zone", "zone", ((0.1, 0.1), (0.6, 0.2), (0.5, 0.9)))
LINE = Area("line", "line", ((0.5, 1.0), (0.5, 0.0)))
EFFECTS = ("blur:person", "pixelate:person", "fill:person", "background-blur:person", "cut-out:person")


class Nowhere(Target):
    """Takes everything."""

    name = "nowhere"

    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        """Forget them."""
        return len(records)


def make_results(count: int, width: int, height: int, frames: int) -> list[Result]:
    """Return results of the same `count` instances, half of them persons; none of their masks is decoded yet."""
    blobs = make_blobs(count, width, height)
    image = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    results = []
    for number in range(frames):
        instances = Instances.from_masks(blobs.masks, blobs.scores, blobs.labels)
        frame = Frame(image, number, Fraction(1, 30), time.monotonic(), "benchmark", number)
        results.append(
            Result(frame, instances, hidden=Hidden(instances.select(blobs.labels == 0), frozenset({"person"})))
        )
    return results


def affect(effect: Effect, result: Result) -> None:
    """Apply an effect to a copy of a frame."""
    apply_effects(result.frame.image.copy(), result, [effect], NAMES)


def median_ms(work: Callable[[Result], object], results: list[Result]) -> float:
    """Return the median milliseconds of processor time of `work` on each of `results`, on one thread."""
    times = []
    for result in results:
        started = time.thread_time()
        work(result)
        times.append(1000 * (time.thread_time() - started))
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure what processors and effects cost.")
    parser.add_argument("--size", default="1280x720", help="width x height of the picture")
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # so that the time does not depend on what else the machine does
    width, height = map(int, options.size.split("x"))

    def fresh() -> list[Result]:
        return make_results(options.instances, width, height, options.frames)

    panel = ControlPanel(Controls(track=True))
    delivery = Delivery(Nowhere())
    print(f"{width}x{height}, {options.instances} instances, {platform.machine()}, {os.cpu_count()} cores\n")
    print("| part | median ms of processor time a frame |\n|---|---|")
    print(
        f"| cropping the masks, once for all parts | {median_ms(lambda result: result.instances.crops, fresh()):.2f} |"
    )
    tracked = [Tracking(panel)(result) for result in fresh()]
    for result in tracked:
        _ = result.instances.crops
    watching = Watching([ZONE, LINE], NAMES, panel=panel)
    print(f"| a zone and a line | {median_ms(watching, tracked):.2f} |")
    watched = [Watching([ZONE, LINE], NAMES, panel=panel)(result) for result in tracked]
    print(f"| handing over events | {median_ms(Publishing([delivery], name='b', is_live=True), watched):.3f} |")
    print(f"| one name for each thing | {median_ms(OneName(), fresh()):.2f} |")
    print(f"| holding what is hidden | {median_ms(MaskHold(), fresh()):.2f} |")
    for spec in EFFECTS:
        effect = parse_effect(spec)
        ms = median_ms(partial(affect, effect), tracked)
        print(f"| {spec} | {ms:.2f} |")
    renderer = Renderer(NAMES)
    bare = [replace(result, areas=()) for result in watched]
    for name, results in (("drawing without zones", bare), ("drawing with a zone and a line", watched)):
        print(f"| {name} | {median_ms(lambda one: renderer.draw(one, Controls()), results):.2f} |")
    delivery.close()


if __name__ == "__main__":
    main()
