"""A source that could not be opened, in the place of one that could: the others of the run go on."""

import time
from collections.abc import Iterator
from fractions import Fraction

from app.stream.frames import Frame
from app.stream.source_status import SourceStatus
from app.stream_errors import SourceError


class FailedSource:
    """Gives no frame, and raises the error with which it was not opened.

    Attributes:
        status: "ended", with the reason.
        error: what opening it raised.
    """

    is_live = False
    frame_rate: float | None = None
    frame_count: int | None = None
    frame_hw = (720, 1280)
    time_base = Fraction(1, 1_000_000)

    def __init__(self, source_id: str, error: SourceError) -> None:
        """Keep what is known.

        Args:
            source_id: a name to show, without any password.
            error: what opening it raised.
        """
        self.source_id = source_id
        self.status = SourceStatus("ended", time.monotonic(), error.reason)
        self.error = error

    def __iter__(self) -> Iterator[Frame]:
        """Raise the error: that ends this source's lane alone."""
        raise self.error

    def close(self) -> None:
        """Do nothing: nothing is open."""
