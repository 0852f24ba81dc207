"""What a run tells about itself while it goes on, as values for JSON and metrics, and in one line."""

from dataclasses import dataclass
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
        snapshot, status = self.stats.snapshot(), self.status
        dropped = _dropped(snapshot, status)
        return {
            "source": self.name,
            "state": status.phase if status else "live",
            "reason": status.reason if status else "",
            **snapshot.as_dict(),
            "dropped": dropped,
            "reconnects": status.reconnects if status else 0,
            "stalls": status.stalls if status else 0,
        }

    def line(self) -> str:
        """Return the rates in one line, such as "24.9 fps, age 61 ms (p95 83 ms), 12 dropped at capture"."""
        snapshot = self.stats.snapshot()
        rate = "-" if snapshot.display_fps is None else f"{snapshot.display_fps:.1f}"
        age = "-" if snapshot.age_ms is None else f"{snapshot.age_ms:.0f}"
        parts = [f"{rate} fps", f"age {age} ms (p95 {snapshot.age_p95_ms:.0f} ms)"]
        parts += [f"{count} dropped at {cause}" for cause, count in _dropped(snapshot, self.status).items()]
        if self.status is not None and self.status.reconnects:
            parts.append(f"{self.status.reconnects} reconnects")
        return ", ".join(parts)

    @property
    def status(self) -> SourceStatus | None:
        """What the source is doing."""
        return self.source.status if self.source is not None else None


def _dropped(snapshot: StatsSnapshot, status: SourceStatus | None) -> dict[str, int]:
    corrupt = {"corrupt": status.corrupt} if status is not None and status.corrupt else {}
    return {**snapshot.dropped, **corrupt}
