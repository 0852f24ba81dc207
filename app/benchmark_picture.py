"""The steps of a frame as bars, one for each engine."""

from collections.abc import Mapping

import numpy as np

from app.drawing.palette import RGB
from app.drawing.text import TextPainter
from app.stream.frames import Picture

WIDTH, MARGIN = 1200, 30
BAR_HEIGHT, ROW_HEIGHT = 34, 64
PAPER, INK = (255, 255, 255), (30, 30, 30)
COLOURS: tuple[RGB, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Of the steps, in their order. Source: Okabe and Ito, "Color Universal Design" (2008)."""


def draw_steps(medians: Mapping[str, Mapping[str, float]], title: str) -> Picture:
    """Return a picture (H, 1200, 3) uint8 RGB of the milliseconds of each step with each engine.

    Args:
        medians: engine -> step -> milliseconds.
        title: what was measured, and on what machine.
    """
    steps = list(dict.fromkeys(step for own in medians.values() for step in own))
    picture = np.full((130 + ROW_HEIGHT * len(medians), WIDTH, 3), PAPER, np.uint8)
    text = TextPainter(17)
    text.write(picture, title, MARGIN, 28, colour=INK)
    left = MARGIN
    for number, step in enumerate(steps):
        picture[52:68, left : left + 16] = COLOURS[number % len(COLOURS)]
        text.write(picture, step, left + 22, 60, colour=INK)
        left += 44 + text.width(step)
    longest = max((sum(own.values()) for own in medians.values()), default=0.0) or 1.0
    for row, (engine, own) in enumerate(medians.items()):
        top = 100 + ROW_HEIGHT * row
        text.write(picture, f"{engine}: {sum(own.values()):.1f} ms", MARGIN, top + 6, colour=INK)
        begin = 0.0
        for step, milliseconds in own.items():
            end = begin + milliseconds * (WIDTH - 2 * MARGIN) / longest
            columns = slice(MARGIN + round(begin), MARGIN + round(end))
            picture[top + 20 : top + 20 + BAR_HEIGHT, columns] = COLOURS[steps.index(step) % len(COLOURS)]
            begin = end
    return picture
