"""Zones and lines in a YAML file: what such a file may hold, with errors of one line."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.config_file import Printable, read_yaml
from app.stream.areas import DEFAULT_SHARE, Area, AreaKind, Point
from app.stream_errors import AppError

FractionOfPicture = Annotated[float, Field(ge=0, le=1, strict=False)]
Pixel = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]


class AreaError(AppError):
    """A zone or line that makes no sense, or a file of them; the message is one line."""


class AreaEntry(BaseModel):
    """What zones and lines have in common: exactly one of `points` (fractions of the picture) and `pixels`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Printable = Field(min_length=1, max_length=200)
    points: list[Annotated[list[FractionOfPicture], Field(min_length=2, max_length=2)]] | None = None
    pixels: list[Annotated[list[Pixel], Field(min_length=2, max_length=2)]] | None = None
    share: float = Field(default=DEFAULT_SHARE, gt=0, le=1)
    classes: list[str] | None = Field(default=None, min_length=1)

    def area(self, kind: AreaKind) -> Area:
        """Return the entry as a value."""
        points: tuple[Point, ...] = tuple((x, y) for x, y in self.points or self.pixels or ())
        classes = None if self.classes is None else frozenset(self.classes)
        return Area(self.name, kind, points, self.share, classes, is_in_pixels=self.pixels is not None)

    def _check_corners(self, wanted: str, is_right: bool) -> None:
        if (self.points is None) == (self.pixels is None):
            raise ValueError("give either points (fractions of the picture) or pixels")
        if not is_right:
            raise ValueError(f"it needs {wanted}, got {len(self.points or self.pixels or ())}")


class ZoneEntry(AreaEntry):
    """A polygon."""

    @model_validator(mode="after")
    def _is_polygon(self) -> Self:
        corners = self.points or self.pixels or []
        self._check_corners("3 corners or more", len(corners) >= 3)
        import shapely

        polygon = shapely.Polygon(corners)
        if polygon.area == 0 and shapely.LineString(corners).is_simple:
            raise ValueError("the polygon has no area")
        if not polygon.is_valid:
            raise ValueError(
                f"the polygon crosses itself ({shapely.is_valid_reason(polygon)}): name its corners in order"
            )
        return self


class LineEntry(AreaEntry):
    """A segment."""

    @model_validator(mode="after")
    def _is_segment(self) -> Self:
        ends = self.points or self.pixels or []
        self._check_corners("2 points", len(ends) == 2)
        if ends[0] == ends[1]:
            raise ValueError("its two points are the same")
        return self


class AreasEntry(BaseModel):
    """A file of zones and lines, and a part of each entry of a file of cameras."""

    model_config = ConfigDict(extra="forbid", strict=True)

    zones: list[ZoneEntry] = Field(default_factory=list)
    lines: list[LineEntry] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_distinct_names(self) -> Self:
        twice = [name for name, count in Counter(one.name for one in (*self.zones, *self.lines)).items() if count > 1]
        if twice:
            raise ValueError(f"two zones or lines are called {twice[0]!r}; each name must be there once")
        return self

    def areas(self) -> tuple[Area, ...]:
        """Return the zones, then the lines."""
        return (*(one.area("zone") for one in self.zones), *(one.area("line") for one in self.lines))


def read_areas(path: Path) -> tuple[Area, ...]:
    """Return the zones and lines in a YAML file of `zones` and `lines`; see docs/zones-and-events.md.

    Raises:
        AreaError: the file cannot be read, is none of that kind or holds none; a polygon crosses itself.
    """
    areas = read_yaml(path, AreasEntry, AreaError).areas()
    if not areas:
        raise AreaError(f"{path} holds neither zones nor lines")
    return areas


def check_areas(areas: Sequence[Area], image_hw: tuple[int, int], source: str) -> None:
    """Check that every point of `areas` lies in a picture of this size; raise AreaError."""
    height, width = image_hw
    for area in areas:
        for x, y in area.pixels(image_hw):
            if not (0 <= x <= width and 0 <= y <= height):
                raise AreaError(
                    f"{area.kind} {area.name!r} must lie in the picture of {source}, which is {width}x{height} pixels, "
                    f"got the point ({x:g}, {y:g})"
                )
