"""What a run tells about itself while it goes on, as values for JSON and metrics, and in one line."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from app.stream.source_status import SourceStatus
from app.stream.stats import StatsSnapshot, StreamStats


class HasStatus(Protocol):
    """A source that tells what it is doing.

    Attributes:
        status: the newest one.
    """

    @property
    def status(self) -> SourceStatus:
        """See above."""
        ...


@dataclass(frozen=True, slots=True)
class FixedStatus:
    """The status of a source that is not open, as of one that is being opened."""

    status: SourceStatus


@dataclass(frozen=True)
class Reporter:
    """Joins what a source and the counters of its lane know.

    Attributes:
        name: of the source, without any password.
        stats: of its lane.
        source: tells its status; None of a source that never waits.
    """

    name: str
    stats: StreamStats
    source: HasStatus | None = None

    def values(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        status = self.status
        return {
            "source": self.name,
            "state": status.phase if status else "live",
            "reason": status.reason if status else "",
            **self.snapshot().as_dict(),
        }

    def snapshot(self) -> StatsSnapshot:
        """Return the counters of the lane, and what the source counts: damaged pictures, reconnects, stalls."""
        snapshot, status = self.stats.snapshot(), self.status
        if status is None:
            return snapshot
        dropped = {**snapshot.dropped, **({"corrupt": status.corrupt} if status.corrupt else {})}
        return replace(snapshot, dropped=dropped, reconnects=status.reconnects, stalls=status.stalls)

    def line(self) -> str:
        """Return the rates in one line, such as "24.9 fps, age 61 ms (p95 83 ms), 12 dropped at capture"."""
        snapshot = self.snapshot()
        rate = "-" if snapshot.display_fps is None else f"{snapshot.display_fps:.1f}"
        age = "-" if snapshot.age_ms is None else f"{snapshot.age_ms:.0f}"
        parts = [f"{rate} fps", f"age {age} ms (p95 {snapshot.age_p95_ms:.0f} ms)"]
        parts += [f"{count} dropped at {cause}" for cause, count in snapshot.dropped.items()]
        parts += [f"{count} {name if count > 1 else name[:-1]}" for name, count in interruptions(snapshot).items()]
        return ", ".join(parts)

    @property
    def status(self) -> SourceStatus | None:
        """What the source is doing."""
        return self.source.status if self.source is not None else None


def interruptions(snapshot: StatsSnapshot) -> dict[str, int]:
    """Return how often the source reconnected and stalled; what never happened is left out."""
    counts = {"reconnects": snapshot.reconnects, "stalls": snapshot.stalls}
    return {name: count for name, count in counts.items() if count}
