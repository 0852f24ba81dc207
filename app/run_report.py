"""What `app.webcam` tells while it runs: on standard error, and as JSON lines in a file."""

import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from app.stream.reporter import Reporter
from app.stream.source_status import SourceStatus

JSON_SECONDS = 1
LINE_SECONDS = 10
JSON_LINES = ".jsonl"


def status_printer(name: str | None) -> Callable[[SourceStatus], None]:
    """Return what prints each new status of a source that matters, in one line.

    Args:
        name: put before each line; None for the only source of a run, whose failure ends the run and is told then.
    """

    def tell(status: SourceStatus) -> None:
        failed = status.phase == "ended" and bool(status.reason)
        if status.phase in ("live", "waiting") or (failed and name is not None):
            print(f"{name}: {status.line()}" if name is not None else status.line(), file=sys.stderr, flush=True)

    return tell


class RunReport:
    """Writes, within its `with` block, a JSON line a second for each source, and a line every ten seconds.

    A file that cannot be written any more is told once; the run goes on.
    """

    def __init__(self, reporters: Sequence[Reporter], json_lines: Path | None, prints: bool) -> None:
        """Start nothing yet.

        Args:
            reporters: of the sources.
            json_lines: a file that is replaced; None for none.
            prints: whether lines for people go to standard error.
        """
        self._reporters, self._path, self._prints = reporters, json_lines, prints
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="report", daemon=True)

    def __enter__(self) -> "RunReport":
        """Start."""
        if self._path is not None:
            self._path.write_text("")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last JSON line, and stop."""
        self._stopped.set()
        self._thread.join()
        self._write_json()

    def _work(self) -> None:
        seconds = 0
        while not self._stopped.wait(JSON_SECONDS):
            seconds += JSON_SECONDS
            self._write_json()
            if self._prints and seconds % LINE_SECONDS == 0:
                for reporter in self._reporters:
                    name = f"{reporter.name}: " if len(self._reporters) > 1 else ""
                    print(f"{name}{reporter.line()}", file=sys.stderr, flush=True)

    def _write_json(self) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a") as file:
                file.writelines(json.dumps(reporter.values()) + "\n" for reporter in self._reporters)
        except OSError as error:
            print(f"could not write {self._path}: {error.strerror}; the run goes on without it", file=sys.stderr)
            self._path = None
