import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from app.stream.frames import ControlPanel, Controls, Frame, Result
from app.stream.pipeline import FRAMES_WAITING, FRAMES_WAITING_WATCHED, Picture, Quit, Segmenter, Sink, run
from app.stream.stats import StreamStats
from app.stream_errors import SinkError, SourceError

SOON = 5.0


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@dataclass
class FakeSource:
    """Gives `count` small frames, then raises `error` if there is one. `before_frame` is called with each index."""

    count: int
    is_live: bool = False
    error: Exception | None = None
    before_frame: Callable[[int], object] = lambda index: None
    source_id: str = "fake"
    frame_rate: float | None = 30.0
    frame_count: int | None = None
    frame_hw: tuple[int, int] = (4, 6)
    time_base: Fraction = Fraction(1, 90000)
    closed: int = 0
    given: int = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.before_frame(index)
            image = np.full((*self.frame_hw, 3), index % 256, np.uint8)
            self.given += 1
            yield Frame(image, index * 3003, self.time_base, time.monotonic(), self.source_id, index)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeSink:
    """Remembers the indices of what was written."""

    needs_picture: bool = True
    on_write: Callable[[Result], object] = lambda result: None
    on_idle: Callable[[], object] = lambda: None
    on_close: Callable[[], object] = lambda: None
    written: list[int] = field(default_factory=list)
    pictures: list[Picture | None] = field(default_factory=list)
    idled: int = 0
    closed: int = 0

    def write(self, result: Result, picture: Picture | None) -> None:
        self.on_write(result)
        self.written.append(result.frame.index)
        self.pictures.append(picture)

    def idle(self) -> None:
        self.idled += 1
        self.on_idle()

    def close(self) -> None:
        self.closed += 1
        self.on_close()


def result_of(frame: Frame) -> Result:
    return Result(frame, cast("Any", None), {"network": 1.0})


def segment_at_once(frames: Iterable[Frame]) -> Iterator[Result]:
    return map(result_of, frames)


def hold_one_back(frames: Iterable[Frame]) -> Iterator[Result]:
    held = None
    for frame in frames:
        if held is not None:
            yield held
        held = result_of(frame)
    if held is not None:
        yield held


def draw(result: Result) -> Picture:
    return result.frame.image


def raise_error(error: BaseException) -> None:
    raise error


def stream(
    source: FakeSource,
    *sinks: Sink,
    segmenter: Segmenter = segment_at_once,
    draw: Callable[[Result], Picture] = draw,
    panel: ControlPanel | None = None,
    max_frames: int | None = None,
    frames_waiting: int = FRAMES_WAITING,
) -> StreamStats:
    stats = StreamStats()
    try:
        limits = {"max_frames": max_frames, "frames_waiting": frames_waiting}
        run(source, segmenter, draw, sinks, panel or ControlPanel(), stats, **limits)
    finally:
        assert source.closed >= 1
    return stats


def test_a_file_reaches_every_sink_whole_and_in_order() -> None:
    first, second = FakeSink(), FakeSink()
    stats = stream(FakeSource(100), first, second)
    assert first.written == second.written == list(range(100))
    assert (first.closed, second.closed) == (1, 1)
    snapshot = stats.snapshot()
    assert (snapshot.captured, snapshot.segmented, snapshot.displayed) == (100, 100, 100)
    assert snapshot.dropped == {}
    assert set(snapshot.steps_ms) == {"network", "draw", "write"}


def test_a_slow_file_sink_loses_no_frame_of_a_file() -> None:
    sink = FakeSink(on_write=lambda result: time.sleep(0.005))
    stream(FakeSource(30), sink)
    assert sink.written == list(range(30))


@pytest.mark.parametrize(("frames_waiting", "most"), [(FRAMES_WAITING, 14), (FRAMES_WAITING_WATCHED, 11)])
def test_no_more_of_a_file_is_read_ahead_than_the_hand_offs_hold(frames_waiting: int, most: int) -> None:
    source = FakeSource(1000)
    ahead: list[int] = []

    def look(result: Result) -> None:
        time.sleep(0.01)
        ahead.append(source.given - result.frame.index)

    stream(source, FakeSink(on_write=look), max_frames=10, frames_waiting=frames_waiting)
    assert max(ahead) <= most


def test_a_live_source_gives_its_newest_frame_and_its_losses_are_counted() -> None:
    sink = FakeSink()

    def slowly(frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            time.sleep(0.02)
            yield result_of(frame)

    stats = stream(FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.002)), sink, segmenter=slowly)
    snapshot = stats.snapshot()
    assert sink.written == sorted(set(sink.written))
    assert sink.written[-1] == 99
    assert snapshot.captured == 100
    assert snapshot.dropped["capture"] == 100 - len(sink.written)
    assert snapshot.age_p95_ms < 100


def test_a_slow_display_loses_frames_of_a_live_source_and_stays_up_to_date() -> None:
    sink = FakeSink(on_write=lambda result: time.sleep(0.03))
    stats = stream(FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.003)), sink)
    assert sink.written[-1] == 99
    assert stats.snapshot().dropped["display"] > 10
    assert stats.snapshot().age_p95_ms < 150


def test_reading_segmenting_drawing_and_writing_overlap() -> None:
    def slowly(frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            time.sleep(0.02)
            yield result_of(frame)

    def draw_slowly(result: Result) -> Picture:
        time.sleep(0.02)
        return result.frame.image

    sink = FakeSink(on_write=lambda result: time.sleep(0.02))
    started = time.monotonic()
    stream(FakeSource(25, before_frame=lambda _: time.sleep(0.02)), sink, segmenter=slowly, draw=draw_slowly)
    assert time.monotonic() - started < 25 * 0.02 * 2, "one after another they need four times 0.5 s"


def test_nothing_is_drawn_that_nobody_looks_at() -> None:
    sink = FakeSink(needs_picture=False)
    stream(FakeSource(5), sink, draw=lambda result: pytest.fail("drawn"))
    assert sink.pictures == [None] * 5


def test_a_stream_without_sinks_is_still_counted() -> None:
    assert stream(FakeSource(5)).snapshot().displayed == 5


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    sink = FakeSink()
    with pytest.raises(SourceError, match="damaged"):
        stream(FakeSource(20, error=SourceError("damaged")), sink)
    assert sink.written == list(range(20))
    assert sink.closed == 1


def test_a_frame_that_the_segmenter_holds_back_is_not_lost_to_an_error_of_the_source() -> None:
    sink = FakeSink()
    with pytest.raises(SourceError, match="damaged"):
        stream(FakeSource(20, error=SourceError("damaged")), sink, segmenter=hold_one_back)
    assert sink.written == list(range(20))


@pytest.mark.parametrize("error", [ValueError("broken"), TimeoutError("broken"), StopAsyncIteration("broken")])
def test_an_error_of_the_segmenter_ends_the_run_while_the_reader_waits_for_room(error: Exception) -> None:
    def fail_at_the_third(frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            if frame.index == 3:
                raise error
            yield result_of(frame)

    sink = FakeSink()
    with pytest.raises(type(error), match="broken"):
        stream(FakeSource(1000), sink, segmenter=fail_at_the_third)
    assert sink.written == [0, 1, 2]
    assert sink.closed == 1


def test_an_error_while_drawing_ends_the_run() -> None:
    sink = FakeSink()
    with pytest.raises(ZeroDivisionError):
        stream(FakeSource(1000), sink, draw=lambda result: cast("Picture", 1 / 0))
    assert sink.written == []
    assert sink.closed == 1


def test_an_error_of_a_sink_ends_the_run_and_every_sink_is_closed() -> None:
    full = FakeSink(on_write=lambda result: raise_error(SinkError("disk full")))
    other = FakeSink()
    with pytest.raises(SinkError, match="disk full"):
        stream(FakeSource(1000), other, full)
    assert (full.closed, other.closed) == (1, 1)


def test_the_first_error_wins_over_those_of_closing() -> None:
    bad = FakeSink(
        on_write=lambda result: raise_error(SinkError("disk full")),
        on_close=lambda: raise_error(SinkError("not finished")),
    )
    other = FakeSink()
    with pytest.raises(SinkError, match="disk full"):
        stream(FakeSource(10), bad, other)
    assert other.closed == 1


def test_a_close_that_fails_is_told_and_the_other_sinks_are_closed() -> None:
    first = FakeSink(on_close=lambda: raise_error(SinkError("first")))
    second = FakeSink(on_close=lambda: raise_error(SinkError("second")))
    third = FakeSink()
    with pytest.raises(SinkError, match="first"):
        stream(FakeSource(10), first, second, third)
    assert third.closed == 1


def test_ctrl_c_closes_every_sink_and_is_passed_on() -> None:
    sink = FakeSink(on_write=lambda result: raise_error(KeyboardInterrupt()))
    other = FakeSink()
    with pytest.raises(KeyboardInterrupt):
        stream(FakeSource(1000), sink, other)
    assert (sink.closed, other.closed) == (1, 1)


def test_quit_ends_the_run_without_an_error() -> None:
    def quit_at_the_fifth(result: Result) -> None:
        if result.frame.index == 5:
            raise Quit

    sink = FakeSink(on_write=quit_at_the_fifth)
    stream(FakeSource(1000), sink)
    assert sink.written == [0, 1, 2, 3, 4]


def test_the_run_ends_after_max_frames() -> None:
    sink = FakeSink()
    stats = stream(FakeSource(1000), sink, max_frames=7)
    assert sink.written == list(range(7))
    assert stats.snapshot().displayed == 7


def test_sinks_may_do_their_idle_work_while_nothing_arrives_and_quit_from_it() -> None:
    stop_waiting = threading.Event()

    def quit_soon() -> None:
        if sink.idled == 3:
            stop_waiting.set()
            raise Quit

    sink = FakeSink(on_idle=quit_soon)
    stream(FakeSource(2, is_live=True, before_frame=lambda index: index and stop_waiting.wait(SOON)), sink)
    assert sink.idled == 3


def test_a_paused_file_waits_and_goes_on_where_it_stood() -> None:
    panel = ControlPanel()

    def pause_at_the_second(result: Result) -> None:
        if result.frame.index == 1:
            panel.update(paused=True)

    def resume_after_a_while() -> None:
        assert sink.written == [0, 1]
        if sink.idled == 3:
            panel.update(paused=False)

    sink = FakeSink(on_write=pause_at_the_second, on_idle=resume_after_a_while)
    stream(FakeSource(20), sink, panel=panel)
    assert sink.written == list(range(20))
    assert sink.idled >= 3


def test_a_paused_live_source_is_read_and_thrown_away() -> None:
    sink = FakeSink()
    stats = stream(FakeSource(50, is_live=True), sink, panel=ControlPanel(Controls(paused=True)))
    assert sink.written == []
    assert stats.snapshot().dropped == {"paused": 50}


def test_memory_stays_flat_over_ten_thousand_frames() -> None:
    traced: dict[int, int] = {}

    def measure(result: Result) -> None:
        if result.frame.index in (2000, 9999):
            traced[result.frame.index] = tracemalloc.get_traced_memory()[0]

    class Forgetful(FakeSink):
        def write(self, result: Result, picture: Picture | None) -> None:
            measure(result)

    tracemalloc.start()
    try:
        stream(FakeSource(10_000, frame_hw=(32, 32)), Forgetful())
    finally:
        tracemalloc.stop()
    frame_bytes = 32 * 32 * 3
    assert traced[9999] - traced[2000] < 100 * frame_bytes, "eight thousand frames later, not a hundred are kept"
