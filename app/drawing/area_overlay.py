"""Zones and lines in the picture, with their counts."""

from collections.abc import Sequence

import cv2
import numpy as np

from app.drawing.palette import INK, RGB, instance_colour
from app.drawing.text import SEMIBOLD, TextPainter, fill_pill
from app.stream.areas import AreaState
from app.stream.frames import Picture

ZONE_OPACITY = 0.16
FIRST_COLOUR = 90  # labels of COCO's classes stay below, so that no zone looks like an instance
ARROW_FRACTION = 0.03  # of the picture's short side


def draw_areas(picture: Picture, states: Sequence[AreaState], lettering: TextPainter, line_px: int) -> None:
    """Draw each zone and line, and what was counted there, into `picture` (H, W, 3) uint8 RGB, in place."""
    for number, state in enumerate(states):
        colour = instance_colour(FIRST_COLOUR + number, 0)
        points = np.rint(state.area.pixels(picture.shape[:2])).astype(np.int32)
        if state.area.kind == "zone":
            _fill(picture, points, colour)
        else:
            _draw_arrow(picture, points, colour, 2 * line_px)
        cv2.polylines(picture, [points], state.area.kind == "zone", colour, 2 * line_px, cv2.LINE_AA)
    for number, state in enumerate(states):
        points = np.rint(state.area.pixels(picture.shape[:2])).astype(np.int32)
        anchor = points[points[:, 1].argmin()].tolist()
        _write(picture, caption(state), anchor, instance_colour(FIRST_COLOUR + number, 0), lettering)


def caption(state: AreaState) -> str:
    """Return what is written on an area: its name, and who is inside, or how many have crossed it, and back."""
    if state.area.kind == "zone":
        inside = [f"{counts.inside} {name}" for name, counts in sorted(state.counts.items()) if counts.inside]
        return f"{state.area.name}: {', '.join(inside) or 'empty'}"
    forward = sum(counts.forward for counts in state.counts.values())
    backward = sum(counts.backward for counts in state.counts.values())
    return f"{state.area.name}: {forward} forward, {backward} back"


def _fill(picture: Picture, points: np.ndarray, colour: RGB) -> None:
    """Tint the inside of a polygon, within its bounding box."""
    left, top, width, height = cv2.boundingRect(points)
    view = picture[max(top, 0) : top + height, max(left, 0) : left + width]
    if not view.size:
        return
    tinted = view.copy()
    cv2.fillPoly(tinted, [points - (max(left, 0), max(top, 0))], colour)
    view[:] = cv2.addWeighted(tinted, ZONE_OPACITY, view, 1 - ZONE_OPACITY, 0)


def _draw_arrow(picture: Picture, points: np.ndarray, colour: RGB, thickness: int) -> None:
    """Draw an arrow from the middle of a line to its right side, which is forward."""
    first, second = points.astype(float)
    along = second - first
    length = float(np.hypot(*along))
    if not length:
        return
    right = np.array((-along[1], along[0])) / length
    middle = (first + second) / 2
    tip = middle + right * ARROW_FRACTION * min(picture.shape[:2])
    ends = [tuple(np.rint(point).astype(int).tolist()) for point in (middle, tip)]
    cv2.arrowedLine(picture, ends[0], ends[1], colour, thickness, cv2.LINE_AA, tipLength=0.5)


def _write(picture: Picture, text: str, anchor_xy: Sequence[int], colour: RGB, lettering: TextPainter) -> None:
    """Write `text` on a pill below a point, inside the picture; what is too large for it is left out."""
    padding = round(0.6 * lettering.size_px)
    width, height = lettering.width(text, SEMIBOLD) + 2 * padding, 2 * round(0.78 * lettering.size_px)
    if width > picture.shape[1] or height > picture.shape[0]:
        return
    left = min(max(anchor_xy[0] - width // 2, 0), picture.shape[1] - width)
    top = min(max(anchor_xy[1], 0), picture.shape[0] - height)
    fill_pill(picture, left, top, width, height, colour)
    lettering.write(picture, text, left + padding, top + (height - 1) / 2, colour=INK, weight=SEMIBOLD)
