"""Tells what a source is doing that does not tell it itself, such as a file."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.sources.wrapped import WrappedSource
from app.stream.frames import Frame
from app.stream.source_status import Phase, SourceStatus
from app.stream_errors import SourceError

if TYPE_CHECKING:
    from app.stream.parts import Source


class WatchedSource(WrappedSource):
    """Gives the frames of a source, and keeps its status.

    Attributes:
        status: "connecting" until the first frame, then "live", and "ended" with the reason at the end.
    """

    def __init__(self, source: "Source") -> None:
        """Take over `source`, which is open."""
        super().__init__(source)
        self.status = SourceStatus("connecting", time.monotonic())

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; raise what the source raises."""
        try:
            for frame in self._source:
                if self.status.phase != "live":
                    self._set_phase("live")
                yield frame
        except SourceError as error:
            self._set_phase("ended", error.reason)
            raise
        self._set_phase("ended")

    def _set_phase(self, phase: Phase, reason: str = "") -> None:
        self.status = SourceStatus(phase, time.monotonic(), reason)
