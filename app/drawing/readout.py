"""The read-out: a small dark panel in the picture's corner with rates, ages, and what was lost and why."""

import cv2

from app.drawing.palette import INK, PAPER, RGB
from app.drawing.text import SEMIBOLD, TextPainter, fill_rounded
from app.stream.frames import Picture
from app.stream.reporter import interruptions
from app.stream.stats import StatsSnapshot

PANEL_OPACITY = 0.72
FAINT: RGB = (176, 184, 198)
DASH = "-"  # as long as there is no rate


def readout_rectangle(lettering: TextPainter, snapshot: StatsSnapshot) -> tuple[int, int, int, int]:
    """Where the panel lies, xyxy in px from the picture's upper left corner; it grows only with causes of loss."""
    size = lettering.size_px
    margin = round(0.7 * size)
    width = _unit_left(lettering) + lettering.width("fps") + _padding(lettering)
    height = 2 * _padding(lettering) + size + (len(_lines(snapshot)) - 1) * _line_height(lettering)
    return margin, margin, margin + width, margin + height


def draw_readout(picture: Picture, snapshot: StatsSnapshot, lettering: TextPainter) -> None:
    """Draw the numbers of `snapshot`; a picture too small for the panel gets none."""
    x1, y1, x2, y2 = readout_rectangle(lettering, snapshot)
    if x2 > picture.shape[1] or y2 > picture.shape[0]:
        return
    panel = picture[y1:y2, x1:x2]
    dark = panel.copy()
    fill_rounded(dark, round(0.6 * lettering.size_px), INK)
    panel[:] = cv2.addWeighted(dark, PANEL_OPACITY, panel, 1 - PANEL_OPACITY, 0)
    middle = _padding(lettering) + lettering.size_px / 2
    for number, (name, value, unit) in enumerate(_lines(snapshot)):
        _write_line(panel, name, value, unit, middle + number * _line_height(lettering), lettering)


def _lines(snapshot: StatsSnapshot) -> list[tuple[str, str, str]]:
    """Return the name, the value and the unit of each line: a cause of loss has one once it has occurred."""
    rates = {"capture": snapshot.capture_fps, "inference": snapshot.inference_fps, "display": snapshot.display_fps}
    ages = {"age": snapshot.age_ms, "age p50": snapshot.run_age_p50_ms, "age p95": snapshot.run_age_p95_ms}
    losses = {f"at {cause}": count for cause, count in snapshot.dropped.items()} | interruptions(snapshot)
    return [
        *((name, DASH if rate is None else f"{rate:.1f}", "fps") for name, rate in rates.items()),
        *((name, f"{age:.0f}" if age else DASH, "ms") for name, age in ages.items()),
        ("skipped", str(sum(snapshot.dropped.values())), ""),
        *((name, str(count), "") for name, count in losses.items() if count),
    ]


def _write_line(panel: Picture, name: str, value: str, unit: str, middle: float, lettering: TextPainter) -> None:
    value_right = _unit_left(lettering) - round(0.35 * lettering.size_px)
    lettering.write(panel, name, _padding(lettering), middle, colour=FAINT)
    lettering.write(panel, value, value_right - lettering.width(value, SEMIBOLD), middle, colour=PAPER, weight=SEMIBOLD)
    lettering.write(panel, unit, _unit_left(lettering), middle, colour=FAINT)


def _unit_left(lettering: TextPainter) -> int:
    widest = lettering.width("inference") + lettering.width("00000", SEMIBOLD)
    return _padding(lettering) + widest + round(1.2 * lettering.size_px)


def _padding(lettering: TextPainter) -> int:
    return round(0.8 * lettering.size_px)


def _line_height(lettering: TextPainter) -> int:
    return round(1.45 * lettering.size_px)
