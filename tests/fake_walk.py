"""Instances that move over a made picture, tracked, as results."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from app.stream.areas import Area
from app.stream.frames import Result
from tests.fake_instances import rectangles, result_of

HW = (100, 200)
Box = tuple[int, int, int, int]
LEFT_HALF = Area("left half", "zone", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
MIDDLE = Area("middle", "line", ((0.5, 1.0), (0.5, 0.0)))  # looking up: its right side is that of the picture


def walked(boxes: Sequence[Box | None], track_id: int = 1, label: int = 0, frame_rate: int = 10) -> list[Result]:
    """A result for each box, of one instance that fills it; None is a frame without it."""
    image = np.zeros((*HW, 3), np.uint8)
    results = []
    for number, box in enumerate(boxes):
        found = rectangles(HW, [box] if box else [], [label] if box else [])
        result = result_of(image, found, number, Fraction(1, frame_rate))
        frame = replace(result.frame, index=number)
        results.append(replace(result, frame=frame, track_ids=(track_id,) if box else ()))
    return results


def across(start: int, end: int, step: int, top: int = 40, width: int = 20) -> list[Box | None]:
    """Boxes that move from `start` to `end`."""
    return [(x, top, x + width, top + 20) for x in range(start, end, step)]
