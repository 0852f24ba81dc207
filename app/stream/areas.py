"""Zones and lines in a picture, and what was counted in them, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Point: TypeAlias = tuple[float, float]
AreaKind: TypeAlias = Literal["zone", "line"]

DEFAULT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Area:
    """A zone (a polygon) or a line (a segment) that is watched.

    Attributes:
        name: in events, files and the picture.
        kind: "zone" or "line".
        points: (x, y) of the corners of a zone, or of the two ends of a line; x grows to the right, y downwards.
        share: of a mask, in (0, 1]. An instance is in a zone if at least that share of its mask is; it is on the right
            side of a line, looking from the first point to the second, if at least that share of its mask is.
        classes: names of the classes that count; None counts all.
        is_in_pixels: the points are pixels of the picture; else fractions of its width and height, in [0, 1].
    """

    name: str
    kind: AreaKind
    points: tuple[Point, ...]
    share: float = DEFAULT_SHARE
    classes: frozenset[str] | None = None
    is_in_pixels: bool = False

    def pixels(self, image_hw: tuple[int, int]) -> list[Point]:
        """Return the points in pixels of a picture of this (height, width)."""
        if self.is_in_pixels:
            return list(self.points)
        height, width = image_hw
        return [(x * width, y * height) for x, y in self.points]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """What was counted of one class in one area since the start or the last reset.

    Attributes:
        inside: instances in the zone now; a reset leaves it as it is.
        entered, left: how often one came into the zone, or left it.
        visits, dwell_seconds: ended stays in the zone, and how long they took together.
        forward, backward: how often one crossed the line from its left to its right side, or the other way.
    """

    inside: int = 0
    entered: int = 0
    left: int = 0
    visits: int = 0
    dwell_seconds: float = 0.0
    forward: int = 0
    backward: int = 0

    @property
    def mean_dwell_seconds(self) -> float:
        """Mean length of the stays that ended, 0 without one."""
        return self.dwell_seconds / self.visits if self.visits else 0.0


@dataclass(frozen=True, slots=True)
class AreaState:
    """An area after a frame.

    Attributes:
        area: the zone or line.
        counts: of each class that was seen there, by its name.
    """

    area: Area
    counts: Mapping[str, ClassCounts] = field(default_factory=dict)
