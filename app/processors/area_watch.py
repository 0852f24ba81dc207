"""What happens in one zone, or at one line: visits and crossings, by the share of the mask."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.processors.area_shares import LineShares, ZoneShares
from app.processors.presence import Presence
from app.stream.areas import Area, AreaState, ClassCounts
from app.stream.events import EventKind
from solov2.pixels import Size

LEAVE_FACTOR = (
    0.8  # an instance leaves a zone at that part of the share at which it enters, so that it does not flicker
)
LINE_MARGIN = 0.05  # on both sides of a line's share, for the same reason


@dataclass(frozen=True, slots=True)
class AreaChange:
    """What an area has noticed: the kind of event, about whom (None: about a class), and what else there is to say."""

    kind: EventKind
    category: str
    presence: Presence | None
    details: dict[str, Any]


class AreaWatch(ABC):
    """Counts what happens in one area."""

    def __init__(self, area: Area, class_names: Sequence[str]) -> None:
        """Count nothing yet; `class_names` has the name of each label."""
        self.area, self._class_names = area, class_names
        self._counts: dict[str, ClassCounts] = {}

    @property
    def state(self) -> AreaState:
        """The counts as they are now."""
        return AreaState(self.area, dict(self._counts))

    def reset(self) -> None:
        """Let the counts begin again; who is inside stays inside."""
        self._counts = {name: ClassCounts(inside=counts.inside) for name, counts in self._counts.items()}

    def counts(self, presence: Presence) -> bool:
        """Whether the class of an instance counts here."""
        return self.area.classes is None or self._category(presence) in self.area.classes

    @abstractmethod
    def see(self, presence: Presence, image_hw: Size) -> Iterator[AreaChange]:
        """Look at an instance of this frame, whose class counts."""

    @abstractmethod
    def forget(self, presence: Presence) -> Iterator[AreaChange]:
        """Take note that an instance has left the picture."""

    def settle(self) -> Iterator[AreaChange]:
        """Say what follows from all that was seen in this frame."""
        yield from ()

    def _category(self, presence: Presence) -> str:
        return self._class_names[presence.label]

    def _count(self, category: str, **changes: float) -> None:
        """Add `changes` to the counts of a class."""
        counts = self._counts.get(category, ClassCounts())
        self._counts[category] = replace(
            counts, **{name: getattr(counts, name) + change for name, change in changes.items()}
        )


class ZoneWatch(AreaWatch):
    """Counts who is in a zone, and for how long."""

    def __init__(self, area: Area, class_names: Sequence[str]) -> None:
        """Start with an empty zone."""
        super().__init__(area, class_names)
        self._shares = ZoneShares(area)
        self._visits: dict[int, tuple[float, float]] = {}  # first and last second inside, by track id
        self._told: dict[str, int] = {}

    def see(self, presence: Presence, image_hw: Size) -> Iterator[AreaChange]:
        """Note whether the instance is in the zone."""
        share = self._shares.share(presence.crop, image_hw) or 0.0
        visit = self._visits.get(presence.track_id)
        seconds = presence.last_seconds
        if visit is not None and share < LEAVE_FACTOR * self.area.share:
            yield from self.forget(presence)
        elif visit is not None:
            self._visits[presence.track_id] = visit[0], seconds
        elif share >= self.area.share:
            self._visits[presence.track_id] = seconds, seconds
            category = self._category(presence)
            self._count(category, inside=1, entered=1)
            yield AreaChange("entered_zone", category, presence, {"area": self.area.name})

    def forget(self, presence: Presence) -> Iterator[AreaChange]:
        """End the visit of an instance, if it is in the zone."""
        visit = self._visits.pop(presence.track_id, None)
        if visit is not None:
            category, dwell_seconds = self._category(presence), visit[1] - visit[0]
            self._count(category, inside=-1, left=1, visits=1, dwell_seconds=dwell_seconds)
            details = {"area": self.area.name, "dwell_seconds": dwell_seconds}
            yield AreaChange("left_zone", category, presence, details)

    def settle(self) -> Iterator[AreaChange]:
        """Say which counts have changed since the last frame."""
        inside = {category: counts.inside for category, counts in self._counts.items()}
        for category, count in inside.items():
            if count != self._told.get(category, 0):
                yield AreaChange("zone_count", category, None, {"area": self.area.name, "count": count})
        self._told = inside


class LineWatch(AreaWatch):
    """Counts who crosses a line, in either direction."""

    def __init__(self, area: Area, class_names: Sequence[str]) -> None:
        """Know nobody's side yet."""
        super().__init__(area, class_names)
        self._shares = LineShares(area)
        self._sides: dict[int, str] = {}

    def see(self, presence: Presence, image_hw: Size) -> Iterator[AreaChange]:
        """Note on which side the instance is; it crosses where that changes while it faces the line."""
        share = self._shares.share(presence.crop, image_hw)
        before = self._sides.get(presence.track_id)
        if share is None:
            self._sides.pop(presence.track_id, None)
            return
        if share >= min(self.area.share + LINE_MARGIN, 1):
            side = "right"
        elif share <= max(self.area.share - LINE_MARGIN, 0):
            side = "left"
        else:
            return
        self._sides[presence.track_id] = side
        if before not in (None, side):
            category = self._category(presence)
            direction = "forward" if side == "right" else "backward"
            self._count(category, **{direction: 1})
            yield AreaChange("crossed_line", category, presence, {"area": self.area.name, "direction": direction})

    def forget(self, presence: Presence) -> Iterator[AreaChange]:
        """Forget its side."""
        self._sides.pop(presence.track_id, None)
        yield from ()


def watch(area: Area, class_names: Sequence[str]) -> AreaWatch:
    """Return what watches an area."""
    return (ZoneWatch if area.kind == "zone" else LineWatch)(area, class_names)
