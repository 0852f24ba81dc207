"""The annotations sink: a line of JSON for every frame, written as it is done."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.annotation.jsonl_lines import Line, as_recorded, encode_line, line_of
from app.annotation.jsonl_schema import FORMAT
from app.sinks.writable import writing
from app.stream.frames import Result
from app.stream.parts import Sink


class AnnotationSink(Sink):
    """Appends to a JSONL file; each line is handed to the system whole, so that a crash loses one at most.

    Attributes:
        frames, instances: how many were written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        file_name: Callable[[int], str | None] = lambda index: None,
        leave_out: int = 0,
    ) -> None:
        """Open the file, and write the header if there is nothing in it.

        Args:
            path: appended to.
            header: what the first line says; "classes", "width" and "height" are needed.
            file_name: gives the name of the picture with this index, None where there is none.
            leave_out: so many results come first that the file holds already.

        Raises:
            SinkError: the file cannot be written.
        """
        self._path = Path(path)
        self._class_names: Sequence[str] = header["classes"]
        self._size_wh = (header["width"], header["height"])
        self._file_name = file_name
        self._leave_out = leave_out
        self.frames = self.instances = 0
        with writing(self._path):
            self._file = self._path.open("ab", buffering=0)
        if self._file.tell() == 0:
            self._append({"format": FORMAT, **header})

    def write(self, result: Result) -> None:
        """Write the line of a result; raise SinkError if the disk refuses."""
        if self._leave_out:
            self._leave_out -= 1
            return
        frame = result.frame
        line = line_of(as_recorded(result), self._class_names)
        height, width = frame.image.shape[:2]
        own: Line = {} if (width, height) == self._size_wh else {"width": width, "height": height}
        name = self._file_name(frame.index)
        self._append({**line, **own, **({} if name is None else {"file_name": name})})
        self.frames += 1
        self.instances += len(line["instances"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: Line) -> None:
        remaining = memoryview(encode_line(line))
        with writing(self._path):
            while remaining:  # without a buffer a write may take a part
                remaining = remaining[self._file.write(remaining) or 0 :]
