"""Text and rounded shapes, anti-aliased, on (H, W, 3) uint8 RGB pictures."""

from typing import Any

import cv2

from app.drawing.palette import RGB
from app.stream.frames import Picture

REGULAR = 400  # weights of the variable font
SEMIBOLD = 560
CAP_HEIGHT = 0.75  # of a capital letter, as a fraction of the text's size


class TextPainter:
    """Writes and measures text of one size in OpenCV's built-in variable font, which has Latin and CJK letters."""

    def __init__(self, size_px: int) -> None:
        """Write letters of `size_px` pixels."""
        self.size_px = size_px
        self._font: Any = cv2.FontFace("sans")

    def width(self, text: str, weight: int = REGULAR) -> int:
        """How many pixels wide `text` is."""
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, self.size_px, weight)
        return int(width)

    def write(
        self, picture: Picture, text: str, left: int, middle: float, *, colour: RGB, weight: int = REGULAR
    ) -> None:
        """Write `text` from `left` on, its capitals centred on the height `middle`; what leaves it is cut off."""
        baseline = round(middle + CAP_HEIGHT * self.size_px / 2)
        cv2.putText(picture, text, (left, baseline), colour, self._font, self.size_px, weight)


def fill_pill(picture: Picture, left: int, top: int, width: int, height: int, colour: RGB) -> None:
    """Fill a rectangle whose short sides are half circles; `height` is even, and at most `width`."""
    radius = height // 2
    ends = (left + radius, top + radius), (left + width - radius - 1, top + radius)
    cv2.line(picture, *ends, colour, height - 2, cv2.LINE_AA)  # whose smooth edge adds a pixel on each side


def fill_rounded(picture: Picture, radius: int, colour: RGB) -> None:
    """Fill the whole of `picture` but for its corners, which are rounded by `radius`."""
    height, width = picture.shape[:2]
    right, bottom = width - 1, height - 1
    cv2.rectangle(picture, (radius, 0), (right - radius, bottom), colour, cv2.FILLED)
    cv2.rectangle(picture, (0, radius), (right, bottom - radius), colour, cv2.FILLED)
    for x in (radius, right - radius):
        for y in (radius, bottom - radius):
            cv2.circle(picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)
