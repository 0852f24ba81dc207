"""The name tags of instances: a pill above each mask's largest part, inside the picture, beside the other tags."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from app.drawing.palette import INK, RGB
from app.drawing.text import SEMIBOLD, TextPainter, fill_pill
from app.stream.frames import Picture

Rectangle = tuple[int, int, int, int]

PART_STEP_PX = 4  # of the grid on which the parts of a mask are told apart
STEPS_DOWN = 9  # how many tag heights a tag may move down to get out of another's way


@dataclass(frozen=True, slots=True)
class Tag:
    """What a tag says, and the point of the picture that it stands on."""

    name: str
    score: float
    colour: RGB
    anchor_xy: tuple[int, int]


def mask_tops(id_map: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the (x, y) of the top of each instance's largest part: the middle of its highest row.

    Of one that is covered, or too small to be found on a grid of `PART_STEP_PX`, the middle of its box's upper side.

    Args:
        id_map: (H, W) uint8, k where instance k - 1 is seen.
        boxes: (N, 4) float32 xyxy in px.
    """
    height, width = id_map.shape
    tops = []
    for k, (x1, y1, x2, y2) in enumerate(boxes.astype(np.int64).tolist(), start=1):
        left, top = max(x1, 0), max(y1, 0)
        seen = id_map[top:y2:PART_STEP_PX, left:x2:PART_STEP_PX] == k
        x, y = _top_of_largest(seen) or ((x1 + x2) // 2 - left, 0)
        tops.append((min(max(left + x, 0), width - 1), min(top + y, height - 1)))
    return tops


def _top_of_largest(seen: npt.NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return the (x, y) in px of the middle of the highest row of the largest part; None where there is none."""
    if not seen.any():
        return None
    _, parts, stats, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    row = int(stats[largest, cv2.CC_STAT_TOP])
    columns = np.flatnonzero(parts[row] == largest)
    return round(PART_STEP_PX * float(columns.mean())), PART_STEP_PX * row


def draw_tags(picture: Picture, tags: Sequence[Tag], lettering: TextPainter, keep_free: Rectangle) -> None:
    """Draw `tags`, best first: the earlier ones choose their place first, and lie on top where it gets tight.

    A tag stands above its anchor. Where that leaves the picture, or covers a tag before it or `keep_free` (xyxy), it
    moves down in steps to the first free place, or else to the one that covers least. Tags larger than the picture are
    left out.
    """
    height, width = picture.shape[:2]
    tag_height = 2 * round(0.78 * lettering.size_px)
    taken = [keep_free]
    drawn = []
    for tag in tags:
        tag_width = _tag_width(tag, lettering)
        if tag_width <= width and tag_height <= height:
            taken.append(_choose_place(tag.anchor_xy, (tag_width, tag_height), (width, height), taken))
            drawn.append((tag, taken[-1]))
    for tag, (x1, y1, x2, y2) in reversed(drawn):
        fill_pill(picture, x1, y1, x2 - x1, y2 - y1, tag.colour)
        _write_tag(picture, tag, x1, (y1 + y2 - 1) / 2, lettering)


def _choose_place(
    anchor_xy: tuple[int, int], tag_wh: tuple[int, int], picture_wh: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    (anchor_x, anchor_y), (width, height), (picture_width, picture_height) = anchor_xy, tag_wh, picture_wh
    gap = max(1, height // 6)
    x = min(max(anchor_x - width // 2, 0), picture_width - width)
    column = [(y1, y2) for x1, y1, x2, y2 in taken if x1 < x + width and x2 > x]

    def covered_px(top: int) -> int:
        return sum(max(0, min(top + height, y2) - max(top, y1)) for y1, y2 in column)

    steps = (anchor_y + number * (height + gap) for number in range(-1, STEPS_DOWN))
    top = min((min(max(step, 0), picture_height - height) for step in steps), key=covered_px)
    return x, top, x + width, top + height


def _tag_width(tag: Tag, lettering: TextPainter) -> int:
    padding = 2 * _padding(lettering)
    return padding + lettering.width(f"{tag.name} ", SEMIBOLD) + lettering.width(f"{tag.score:.2f}")


def _write_tag(picture: Picture, tag: Tag, left: int, middle: float, lettering: TextPainter) -> None:
    x = left + _padding(lettering)
    lettering.write(picture, tag.name, x, middle, colour=INK, weight=SEMIBOLD)
    lettering.write(picture, f"{tag.score:.2f}", x + lettering.width(f"{tag.name} ", SEMIBOLD), middle, colour=INK)


def _padding(lettering: TextPainter) -> int:
    return round(0.6 * lettering.size_px)
