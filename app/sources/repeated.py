"""A file over and over, on one clock that goes on."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.stream.frames import Frame

if TYPE_CHECKING:
    from app.stream.parts import Source


class RepeatedSource:
    """Opens a source again whenever it ends; the timestamps of each round follow those of the round before."""

    frame_count: int | None = None

    def __init__(self, open_source: "Callable[[], Source]") -> None:
        """Open the first round.

        Raises:
            SourceError: it cannot be opened.
        """
        self._open = open_source
        self._source = open_source()
        self._closed = threading.Event()
        self.source_id = self._source.source_id
        self.is_live = self._source.is_live
        self.frame_rate = self._source.frame_rate
        self.frame_hw = self._source.frame_hw
        self.time_base = self._source.time_base

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames forever, unless a round has none; raise what the source raises."""
        index = itertools.count()
        next_pts: int | None = None
        while not self._closed.is_set():
            shift = None  # from this round's clock, which may begin anywhere, to the one that goes on
            for frame in self._source:
                if shift is None:
                    shift = 0 if next_pts is None else next_pts - frame.pts
                yield dataclasses.replace(frame, pts=frame.pts + shift, index=next(index))
                next_pts = frame.pts + shift + self._ticks_per_frame()
            if shift is None:
                return
            if not self._closed.is_set():
                self._source = self._open()

    def close(self) -> None:
        """Stop at the next frame."""
        self._closed.set()
        self._source.close()

    def _ticks_per_frame(self) -> int:
        return max(1, round(1 / (self.frame_rate * self.time_base))) if self.frame_rate else 1
