"""The card that a viewer sees while a source gives nothing: over the last picture, which turns grey."""

import time

import cv2
import numpy as np

from app.drawing.palette import INK, PAPER
from app.drawing.readout import FAINT
from app.drawing.text import SEMIBOLD, TextPainter, fill_rounded
from app.stream.frames import Picture
from app.stream.reporter import HasStatus
from app.stream.source_status import SourceStatus

_LIGHT = 0.45  # of the last picture behind the card
_EMPTY_HW = (720, 1280)  # before there is a picture
_MAX_WIDTH = 0.86  # of the picture
_TEXT_FRACTION = 1 / 30  # of the picture's short side
_MIN_TEXT_PX = 11


class WaitingCard:
    """What viewers see of one source while it gives nothing."""

    def __init__(self, name: str, source: HasStatus) -> None:
        """Follow the status of `source`, which is called `name`, without any password."""
        self._name, self._source = name, source

    def __call__(self, last: Picture | None) -> Picture | None:
        """Return the card over the last picture, as `draw_waiting` does; None while frames come, and after a stop."""
        status = self._source.status
        is_stopped = status.phase == "ended" and not status.reason
        return None if status.phase == "live" or is_stopped else draw_waiting(last, self._name, status)


def draw_waiting(last: Picture | None, name: str, status: SourceStatus, now: float | None = None) -> Picture:
    """Return the last picture in grey with a card on it; it is for viewers and never fed to a model.

    Args:
        last: (H, W, 3) uint8 RGB, which stays as it is; None before the first picture.
        name: of the source, without any password.
        status: why nothing comes.
        now: `time.monotonic()` seconds, this moment by default.
    """
    now = time.monotonic() if now is None else now
    picture = _greyed(last)
    lettering = TextPainter(max(_MIN_TEXT_PX, round(min(picture.shape[:2]) * _TEXT_FRACTION)))
    lines = [_title(status), name, *_details(status, now)]
    _draw_card(picture, [_shortened(line, lettering, picture.shape[1]) for line in lines], lettering)
    return picture


def _greyed(last: Picture | None) -> Picture:
    if last is None:
        return np.full((*_EMPTY_HW, 3), 24, np.uint8)
    grey = cv2.cvtColor(last, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(grey, alpha=_LIGHT), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _title(status: SourceStatus) -> str:
    return {"connecting": "Connecting", "live": "Nothing arrives", "waiting": "Waiting", "ended": "Ended"}[status.phase]


def _details(status: SourceStatus, now: float) -> list[str]:
    if status.phase == "ended":
        return [status.reason or status.phase]
    since = f"for {max(0.0, now - status.since):.0f} s"
    if status.phase != "waiting" or status.next_try_at is None:
        return [f"{status.reason or status.phase}, {since}"]
    return [f"{status.reason}, {since}", f"next try in {max(0.0, status.next_try_at - now):.0f} s"]


def _shortened(line: str, lettering: TextPainter, picture_width: int) -> str:
    widest = _MAX_WIDTH * picture_width - 2 * lettering.size_px
    if lettering.width(line, SEMIBOLD) <= widest:
        return line
    while len(line) > 1 and lettering.width(line + "…", SEMIBOLD) > widest:
        line = line[:-1]
    return line + "…"


def _draw_card(picture: Picture, lines: list[str], lettering: TextPainter) -> None:
    size = lettering.size_px
    line_height = round(1.6 * size)
    width = max(lettering.width(line, SEMIBOLD) for line in lines) + 2 * size
    height = line_height * len(lines) + size
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    if top < 0 or left < 0:
        return
    card = picture[top : top + height, left : left + width]
    fill_rounded(card, round(0.6 * size), INK)
    for number, line in enumerate(lines):
        middle = size / 2 + line_height * (number + 0.5)
        if number == 0:
            lettering.write(card, line, size, middle, colour=PAPER, weight=SEMIBOLD)
        else:
            lettering.write(card, line, size, middle, colour=FAINT)
