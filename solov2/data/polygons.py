"""Check polygons before pycocotools draws them, whose C code takes memory by their length, and trusts every number."""

import math
from typing import Any

from solov2.errors import brief
from solov2.pixels import Size

_MIN_NUMBERS = 6  # pycocotools takes four numbers for a box
_MAX_SIDES_AWAY = 4  # how many picture sides a corner may lie outside: labelling tools do not cut polygons off
_MAX_LENGTH_PX = 1 << 22  # pycocotools draws five points for each pixel of the outline, in 16 bytes each


def polygon_flaw(polygon: Any, size: Size) -> str | None:
    """Return what is wrong with [x, y, x, y, ...] in pixels of a picture of this (height, width); None if nothing is.

    It is fast, as a data set has a million of them.
    """
    if not isinstance(polygon, list) or len(polygon) < _MIN_NUMBERS or len(polygon) % 2:
        return f"a polygon that is not three or more x, y pairs: {brief(polygon)}"
    try:
        is_finite = math.isfinite(sum(polygon))
    except (TypeError, OverflowError):
        is_finite = False
    if not is_finite:
        return f"a polygon that is not of finite numbers: {brief(polygon)}"
    reach = (_MAX_SIDES_AWAY + 1) * max(size)
    low, high = min(polygon), max(polygon)
    if low < -reach or high > reach:
        return f"a polygon with a corner far outside its picture of {size[1]}x{size[0]}: {brief(polygon)}"
    if len(polygon) * (high - low) > _MAX_LENGTH_PX and _length(polygon) > _MAX_LENGTH_PX:
        return f"a polygon with an outline of more than {_MAX_LENGTH_PX} pixels: {brief(polygon)}"
    return None


def _length(polygon: list[float]) -> float:
    """How many pixels the outline passes, as pycocotools counts them."""
    xs, ys = polygon[::2], polygon[1::2]
    steps = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    return sum(max(abs(x - next_x), abs(y - next_y)) for x, y, next_x, next_y in steps)
