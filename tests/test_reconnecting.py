"""A source that is opened again: what it waits for, what it counts, and what it leaves behind."""

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice

import pytest

from app.sources.backoff import Backoff, parse_retry
from app.sources.reconnecting import ReconnectingSource
from app.stream.frames import Frame
from app.stream.source_status import SourceStatus
from app.stream_errors import Fault, SourceError
from tests.fake_media import grey

AT_ONCE = Backoff(first_seconds=0.02, max_seconds=0.02)
TICK = Fraction(1, 1000)


class FakeConnection:
    """Gives `count` frames, whose timestamps begin at `first_pts`, and then does what `ending` says."""

    is_live = True
    frame_rate: float | None = 30.0
    frame_count: int | None = None
    time_base = TICK
    source_id = "camera"

    def __init__(
        self, count: int = 3, first_pts: int = 0, ending: Exception | None = None, hw: tuple[int, int] = (48, 64)
    ) -> None:
        self.frame_hw = hw
        self.details = f"{hw[1]}x{hw[0]} fake 30 fps"
        self.corrupt = 0
        self.closed = threading.Event()
        self._count, self._first_pts, self._ending = count, first_pts, ending

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            pts = self._first_pts + index
            yield Frame(grey(index, self.frame_hw), pts, TICK, time.monotonic(), self.source_id, index)
        if self._ending is not None:
            raise self._ending
        self.closed.wait(20)

    def close(self) -> None:
        self.closed.set()


def opening(*connections: FakeConnection | SourceError) -> Callable[[], FakeConnection]:
    """Return what gives these connections, and failures, one after the other, and then fails for ever."""
    left = list(connections)

    def open_next() -> FakeConnection:
        following = left.pop(0) if left else refused()
        if isinstance(following, SourceError):
            raise following
        return following

    return open_next


def refused() -> SourceError:
    return SourceError("could not open camera: connection refused", Fault.REFUSED, "connection refused")


def lost() -> SourceError:
    return SourceError("lost camera: the sender ended the stream", Fault.LOST, "the sender ended the stream")


def connection_threads() -> int:
    return sum(thread.name == "connection" for thread in threading.enumerate())


def test_what_ends_is_opened_again_and_its_clock_goes_on() -> None:
    told: list[SourceStatus] = []
    source = ReconnectingSource(
        "camera",
        opening(FakeConnection(3, 9000, lost()), refused(), FakeConnection(3, 0, hw=(96, 128))),
        AT_ONCE,
        told.append,
    )
    frames = list(islice(source, 6))
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.image.shape[0] for frame in frames] == [48] * 3 + [96] * 3
    seconds = [frame.pts_seconds for frame in frames]
    assert seconds[0] == 0
    assert seconds == sorted(set(seconds))
    assert seconds[3] == pytest.approx(frames[3].captured_at - frames[0].captured_at, abs=0.01)
    assert seconds[2] - seconds[0] == pytest.approx(0.002, abs=1e-6)
    assert [status.phase for status in told] == [
        "connecting", "live", "waiting", "connecting", "waiting", "connecting", "live",
    ]  # fmt: skip
    assert [status.reason for status in told if status.phase == "waiting"] == [
        "the sender ended the stream",
        "connection refused",
    ]
    assert source.status.reconnects == 1
    assert source.frame_hw == (96, 128)
    assert source.status.line() == "connected 128x96 fake 30 fps"
    source.close()


def test_it_may_be_offline_at_the_start_and_the_wait_is_told() -> None:
    told: list[SourceStatus] = []
    source = ReconnectingSource("camera", opening(refused(), refused(), FakeConnection()), AT_ONCE, told.append)
    assert next(iter(source)).pts == 0
    waiting = next(status for status in told if status.phase == "waiting")
    assert waiting.next_try_at is not None
    assert waiting.line(waiting.next_try_at - 4) == "waiting: connection refused, next try in 4 s"
    assert source.status.reconnects == 0
    source.close()


@pytest.mark.parametrize(("tries", "opened"), [(0, 1), (2, 3)])
def test_it_gives_up_after_so_many_tries_in_a_row(tries: int, opened: int) -> None:
    count = 0

    def open_nothing() -> FakeConnection:
        nonlocal count
        count += 1
        raise refused()

    with pytest.raises(SourceError, match="connection refused"):
        next(iter(ReconnectingSource("camera", open_nothing, Backoff(0.01, 0.01, tries))))
    assert count == opened


def test_a_wrong_password_is_not_tried_again_unless_it_worked_before() -> None:
    denied = SourceError("could not open camera: wrong password", Fault.AUTHENTICATION)
    with pytest.raises(SourceError, match="wrong password"):
        next(iter(ReconnectingSource("camera", opening(denied, FakeConnection()), AT_ONCE)))
    source = ReconnectingSource("camera", opening(FakeConnection(1, 0, lost()), denied, FakeConnection(1)), AT_ONCE)
    assert len(list(islice(source, 2))) == 2
    source.close()


def test_a_connection_that_falls_silent_is_left_and_counted() -> None:
    silent = FakeConnection(2)
    source = ReconnectingSource("camera", opening(silent, FakeConnection(2)), AT_ONCE, silent_seconds=0.2)
    assert len(list(islice(source, 4))) == 4
    assert silent.closed.is_set()
    assert (source.status.stalls, source.status.reconnects) == (1, 1)
    source.close()


def test_closing_ends_it_at_once_while_it_opens_waits_or_reads() -> None:
    hanging = threading.Event()

    def open_hanging() -> FakeConnection:
        hanging.wait(20)
        raise refused()

    for open_source in (open_hanging, opening(), opening(FakeConnection(1))):
        source = ReconnectingSource("camera", open_source, Backoff(20, 20))
        reading = threading.Thread(target=list, args=(source,))
        reading.start()
        time.sleep(0.1)
        closed_at = time.monotonic()
        source.close()
        reading.join(5)
        assert time.monotonic() - closed_at < 1.5
        assert not reading.is_alive()
        assert source.status.phase == "ended"
    hanging.set()


def test_a_connection_that_hangs_for_ever_takes_one_thread_however_often_it_is_tried() -> None:
    hanging = threading.Event()

    class HangingConnection(FakeConnection):
        def close(self) -> None:
            pass

        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            hanging.wait(20)

    while connection_threads():  # of the test before
        time.sleep(0.02)
    source = ReconnectingSource("camera", opening(HangingConnection(1)), AT_ONCE, silent_seconds=0.1)
    reading = threading.Thread(target=lambda: list(source))
    reading.start()
    time.sleep(1.2)
    assert connection_threads() == 1
    assert source.status.reason == "the connection before this one has not ended yet"
    hanging.set()
    source.close()
    reading.join(5)
    assert not reading.is_alive()


def test_waits_double_up_to_the_longest_with_a_random_part() -> None:
    backoff = Backoff(1.0, 15.0, tries=40)
    for failures, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (40, 15)):
        waits = [backoff.seconds(failures) or 0.0 for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert backoff.seconds(41) is None


def test_how_often_to_try_is_said_in_words_or_as_a_number() -> None:
    assert parse_retry("forever").tries is None
    assert [parse_retry(text).tries for text in ("never", "0", "7")] == [0, 0, 7]
    with pytest.raises(ValueError, match="must be 'forever', 'never' or a number of tries, got 'often'"):
        parse_retry("often")
