"""The table of zones and lines: a CSV file with their counts, once a second of the source."""

import csv
import io
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from app.sinks.writable import check_writable, writing
from app.stream.areas import AreaState
from app.stream.frames import Result
from app.stream.parts import Sink

INTERVAL_SECONDS = 1.0
COUNTS = ("inside", "entered", "left", "mean_dwell_seconds", "forward", "backward")
COLUMNS = ("time", "seconds", "source", "area", "kind", "class", *COUNTS)


class AreaTable:
    """The file, which the sinks of several sources may share."""

    def __init__(self, path: Path) -> None:
        """Check that `path` can be written, and touch nothing yet; raise SinkError if not."""
        check_writable(path)
        self.path = path
        self._lock = threading.Lock()
        self._has_begun = False

    def append(self, rows: Iterable[Iterable[object]]) -> None:
        """Write whole rows, behind the head if they are the first; raise DiskError if the disk refuses."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        with self._lock, writing(self.path):
            if not self._has_begun:
                writer.writerow(COLUMNS)
            writer.writerows(rows)
            with self.path.open("a" if self._has_begun else "w", newline="") as file:
                file.write(text.getvalue())
            self._has_begun = True


class AreaSink(Sink):
    """Writes the counts of one source: a row for each area and class, once a second and at the end."""

    def __init__(self, table: AreaTable, *, name: str | None = None, is_live: bool = False) -> None:
        """Write into `table`.

        Args:
            table: the file.
            name: of the source; None takes the `source_id` of its frames.
            is_live: whether rows hold the time of day, which a file does not know.
        """
        self._table, self._name, self._is_live = table, name, is_live
        self._written: Result | None = None
        self._last: Result | None = None

    def write(self, result: Result) -> None:
        """Write the rows of a result if it is a second younger than those before."""
        self._last = result
        before = self._written
        if before is None or abs(result.frame.pts_seconds - before.frame.pts_seconds) >= INTERVAL_SECONDS:
            self._append(result)

    def close(self) -> None:
        """Write the last counts."""
        if self._last is not None and self._last is not self._written:
            self._append(self._last)

    def _append(self, result: Result) -> None:
        self._written = result
        frame = result.frame
        time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if self._is_live else ""
        head = (time, f"{frame.pts_seconds:.3f}", self._name or frame.source_id)
        self._table.append((*head, *row) for state in result.areas for row in _rows(state))


def _rows(state: AreaState) -> Iterable[tuple[object, ...]]:
    for name, counts in sorted(state.counts.items()):
        values = (getattr(counts, column) for column in COUNTS)
        yield state.area.name, state.area.kind, name, *(_number(value) for value in values)


_number: Callable[[float], str] = "{:.6g}".format
