"""Events as JSON lines, in a file or on standard output."""

import os
from collections.abc import Sequence
from pathlib import Path

from app.events.delivery import ShouldStop, Target, TargetError
from app.events.record import EventRecord, json_of
from app.sinks.writable import check_writable


class LineTarget(Target):
    """Appends each record as a line; a line is handed to the system whole."""

    def __init__(self, path: Path | None, descriptor: int | None = None) -> None:
        """Open the file.

        Args:
            path: of the file, which is appended to; None takes `descriptor`.
            descriptor: an open file, such as standard output; it stays open.

        Raises:
            SinkError: the file cannot be written.
        """
        self.name = "standard output" if path is None else str(path)
        if path is not None:
            check_writable(path)
        self._path, self._descriptor = path, descriptor

    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        """Write them all."""
        data = memoryview("".join(f"{json_of(record)}\n" for record in records).encode())
        try:
            if self._descriptor is None:
                if self._path is None:
                    raise ValueError("a target of lines needs a path or a descriptor")
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise TargetError(error.strerror or str(error)) from error
        return len(records)

    def close(self) -> None:
        """Close the file, unless it was open before."""
        if self._path is not None and self._descriptor is not None:
            os.close(self._descriptor)
