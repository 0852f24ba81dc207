"""A file at the speed at which it was filmed."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.sources.wrapped import WrappedSource
from app.stream.frames import Frame

if TYPE_CHECKING:
    from app.stream.parts import Source


class PacedSource(WrappedSource):
    """Gives each frame of another source when its timestamp is due, and lets the last one stand as long as the others.

    What is late is not made up for: the frames that follow keep their distance. A frame's age begins when it is given.
    """

    def __init__(self, source: "Source") -> None:
        """Take over `source`, which is not live."""
        super().__init__(source)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; raise what the source raises."""
        due_at = time.monotonic()
        last_seconds = None
        for frame in self._source:
            due_at += 0.0 if last_seconds is None else frame.pts_seconds - last_seconds
            due_at = max(due_at, time.monotonic())
            last_seconds = frame.pts_seconds
            if self._closes_before(due_at):
                return
            yield dataclasses.replace(frame, captured_at=time.monotonic())
        self._closes_before(due_at + (1 / self.frame_rate if self.frame_rate else 0.0))

    def close(self) -> None:
        """Stop at once, also between two frames that lie far apart."""
        self._closed.set()
        super().close()

    def _closes_before(self, due_at: float) -> bool:
        remaining = due_at - time.monotonic()
        return self._closed.wait(min(max(remaining, 0.0), threading.TIMEOUT_MAX))
