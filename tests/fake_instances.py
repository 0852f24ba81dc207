"""Instances made by hand."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from app.stream.frames import Draw, Frame, Result
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop


def rectangles(
    size_hw: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]], labels: Sequence[int]
) -> Instances:
    """Instances that fill `boxes` (xyxy), best first."""
    crops = [MaskCrop(y1, x1, np.ones((y2 - y1, x2 - x1), np.bool_)) for x1, y1, x2, y2 in boxes]
    return Instances.from_crops(crops, np.linspace(0.9, 0.4, len(boxes)), labels, size_hw)


def result_of(
    image: np.ndarray,
    instances: Instances | None = None,
    pts: int = 0,
    time_base: Fraction = Fraction(1, 30),
    draw: Draw | None = None,
) -> Result:
    """A result for `image`, with no instances unless given."""
    if instances is None:
        instances = Instances.empty((image.shape[0], image.shape[1]))
    return Result(Frame(image, pts, time_base, 0.0, "test", 0), instances, draw=draw)
