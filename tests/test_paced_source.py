import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from app.sources.paced import PacedSource
from app.stream.frames import Frame
from tests.fake_media import grey


class PreparedSource:
    """Gives a frame for each of `seconds`, after waiting for as long as `waits` says."""

    source_id = "prepared"
    is_live = False
    frame_rate: float | None = 10.0
    frame_hw = (48, 64)
    time_base = Fraction(1, 100)
    is_closed = False

    def __init__(self, seconds: list[float], waits: list[float] | None = None) -> None:
        self.frame_count: int | None = len(seconds)
        self._seconds = seconds
        self._waits = waits or [0.0] * len(seconds)

    def __iter__(self) -> Iterator[Frame]:
        for index, seconds in enumerate(self._seconds):
            time.sleep(self._waits[index])
            yield Frame(grey(index), round(seconds * 100), self.time_base, time.monotonic(), self.source_id, index)

    def close(self) -> None:
        self.is_closed = True


def arrivals(source: PacedSource) -> list[float]:
    return [time.monotonic() for _ in source]


def test_frames_come_as_far_apart_as_they_were_filmed() -> None:
    started = time.monotonic()
    came_at = arrivals(PacedSource(PreparedSource([5.0, 5.1, 5.4, 5.6])))
    assert came_at[0] - started < 0.08
    assert np.diff(came_at) == pytest.approx([0.1, 0.3, 0.2], abs=0.08)


def test_the_last_frame_stands_as_long_as_the_others() -> None:
    started = time.monotonic()
    assert len(arrivals(PacedSource(PreparedSource([0.0])))) == 1
    assert time.monotonic() - started == pytest.approx(0.1, abs=0.08)


def test_what_is_late_is_not_made_up_for() -> None:
    came_at = arrivals(PacedSource(PreparedSource([0.0, 0.1, 0.2, 0.3], waits=[0.0, 0.5, 0.0, 0.0])))
    assert np.diff(came_at) == pytest.approx([0.5, 0.1, 0.1], abs=0.08)


def test_a_clock_that_jumps_back_holds_nothing_up() -> None:
    started = time.monotonic()
    assert len(arrivals(PacedSource(PreparedSource([9.0, 0.0, 0.05])))) == 3
    assert time.monotonic() - started < 0.5


def test_a_frame_is_as_old_as_it_was_given() -> None:
    ages = [frame.age_seconds() for frame in PacedSource(PreparedSource([0.0, 0.3]))]
    assert max(ages) < 0.2


@pytest.mark.parametrize("gap_seconds", [3600.0, 1e15])
def test_closing_ends_the_wait_over_a_gap(gap_seconds: float) -> None:
    prepared = PreparedSource([0.0, gap_seconds])
    source = PacedSource(prepared)
    threading.Timer(0.1, source.close).start()
    started = time.monotonic()
    assert len(arrivals(source)) == 1
    assert time.monotonic() - started < 1
    assert prepared.is_closed
