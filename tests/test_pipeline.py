"""The data flow: what reaches whom, in which order, and how a run ends."""

import statistics
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Draw, Frame, Picture, Result
from app.stream.lane import FRAMES_WAITING, FRAMES_WAITING_WATCHED, Lane
from app.stream.lazy import Lazy
from app.stream.parts import Policy, Processor, Quit, Sink
from app.stream.pipeline import Stream
from app.stream.stats import StreamStats
from app.stream_errors import SinkError, SourceError
from tests.fake_stream import FakePredictor, FakeSink, FakeSource, set_at

SOON = 5.0


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def raise_error(error: BaseException) -> None:
    raise error


def stream(
    source: FakeSource,
    *sinks: Sink,
    predictor: FakePredictor | None = None,
    processors: Sequence[Processor] = (),
    draw: Draw | None = None,
    panel: ControlPanel | None = None,
    max_frames: int | None = None,
    frames_waiting: int = FRAMES_WAITING,
) -> StreamStats:
    limits: dict[str, Any] = {"max_frames": max_frames, "frames_waiting": frames_waiting}
    lane = Lane(source, sinks, processors, draw=draw, panel=panel or ControlPanel(), **limits)
    try:
        Stream([lane], predictor or FakePredictor()).run()
    finally:
        assert source.closed >= 1
    return lane.stats


def test_a_file_reaches_every_sink_whole_and_in_order() -> None:
    first, second = FakeSink(), FakeSink()
    stats = stream(FakeSource(100), first, second)
    assert first.written == second.written == list(range(100))
    assert (first.closed, second.closed) == (1, 1)
    snapshot = stats.snapshot()
    assert (snapshot.captured, snapshot.segmented, snapshot.displayed) == (100, 100, 100)
    assert snapshot.dropped == {}
    assert set(snapshot.steps_ms) == {"network", "write"}


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
    sink, lags = FakeSink(), []
    source = FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.002))

    def slowly(indices: list[int]) -> None:
        lags.append(source.given - 1 - indices[0])
        time.sleep(0.02)

    snapshot = stream(source, sink, predictor=FakePredictor(slowly)).snapshot()
    assert sink.written == sorted(set(sink.written))
    assert sink.written[-1] == 99
    assert snapshot.captured == 100
    assert sum(snapshot.dropped.values()) == 100 - len(sink.written)
    assert snapshot.dropped["capture"] > 50
    assert statistics.median(lags) <= 1, "the newest frame, or the one that came meanwhile"


def test_a_slow_viewer_misses_results_of_a_live_source_and_stays_up_to_date() -> None:
    sink = FakeSink("latest", on_write=lambda result: time.sleep(0.03))
    stats = stream(FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.003)), sink)
    assert sink.written[-1] == 99
    assert stats.snapshot().dropped["display"] > 10


def test_what_does_not_fit_into_the_queue_of_a_slow_file_of_a_live_source_is_counted() -> None:
    sink = FakeSink(on_write=lambda result: time.sleep(0.03))
    stats = stream(FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.003)), sink)
    dropped = stats.snapshot().dropped
    assert dropped["sink"] > 10
    assert len(sink.written) + sum(dropped.values()) == 100


def test_a_result_is_counted_once_whichever_sink_comes_first() -> None:
    recorder = FakeSink(on_write=lambda result: time.sleep(0.004))
    viewers = [FakeSink("latest"), FakeSink("latest", in_callers_thread=True)]
    assert stream(FakeSource(60), *viewers, recorder).snapshot().displayed == 60


def test_a_slow_file_holds_up_no_viewer_of_a_live_source() -> None:
    enough = threading.Event()
    recorder = FakeSink(on_write=lambda result: enough.wait(SOON))
    viewer = FakeSink("latest", on_write=set_at(enough, 50))
    stream(FakeSource(100, is_live=True, before_frame=lambda _: time.sleep(0.003)), recorder, viewer)
    assert enough.is_set()
    assert viewer.written[-1] == 99
    assert recorder.written[0] < 50


def test_a_window_in_the_callers_thread_goes_on_while_another_sink_is_slow() -> None:
    enough = threading.Event()
    recorder = FakeSink(on_write=lambda result: enough.wait(SOON))

    def look() -> None:
        if window.idled >= 5:
            enough.set()

    window = FakeSink("latest", in_callers_thread=True, on_idle=look)
    stream(FakeSource(30), recorder, window)
    assert enough.is_set()
    assert recorder.written == list(range(30))


def test_every_sink_lives_in_one_thread_of_its_own_or_in_the_callers() -> None:
    sinks = [FakeSink(), FakeSink("latest"), FakeSink("latest", in_callers_thread=True)]
    stream(FakeSource(20), *sinks)
    assert [len(sink.threads) for sink in sinks] == [1, 1, 1]
    assert sinks[2].threads == {threading.current_thread().name}
    assert threading.current_thread().name not in sinks[0].threads | sinks[1].threads


def test_reading_predicting_processing_and_writing_overlap() -> None:
    def slowly(result: Result) -> Result:
        time.sleep(0.02)
        return result

    sink = FakeSink(on_write=lambda result: time.sleep(0.02))
    slow = FakePredictor(lambda indices: time.sleep(0.02))
    source = FakeSource(25, before_frame=lambda _: time.sleep(0.02))
    started = time.monotonic()
    stream(source, sink, predictor=slow, processors=[slowly])
    assert time.monotonic() - started < 25 * 0.02 * 3, "one after another they need four times 0.5 s"


def test_processors_change_results_one_after_another_in_order() -> None:
    seen: list[tuple[str, int]] = []

    def note(name: str) -> Processor:
        def process(result: Result) -> Result:
            seen.append((name, result.frame.index))
            return replace(result, track_ids=(*(result.track_ids or ()), len(name)))

        return process

    got: list[object] = []
    stream(FakeSource(3), FakeSink(on_write=lambda r: got.append(r.track_ids)), processors=[note("a"), note("bb")])
    assert seen == [("a", 0), ("bb", 0), ("a", 1), ("bb", 1), ("a", 2), ("bb", 2)]
    assert got == [(1, 2)] * 3


def test_nothing_is_drawn_that_nobody_looks_at() -> None:
    stream(FakeSource(5), FakeSink(), draw=lambda result: pytest.fail("drawn"))


def test_a_picture_is_drawn_once_for_all_sinks_in_the_thread_of_one_of_them() -> None:
    drawn: list[tuple[int, str]] = []
    pictures: list[Picture] = []

    def draw(result: Result) -> Picture:
        drawn.append((result.frame.index, threading.current_thread().name))
        time.sleep(0.005)
        return result.frame.image.copy()

    sinks = [FakeSink(on_write=lambda result: pictures.append(result.picture)) for _ in range(3)]
    stats = stream(FakeSource(10), *sinks, draw=draw)
    assert sorted(index for index, _ in drawn) == list(range(10))
    assert {name for _, name in drawn} <= {name for sink in sinks for name in sink.threads}
    assert len({id(picture) for picture in pictures}) == 10
    steps = stats.snapshot().steps_ms
    assert steps["draw"] >= 5
    assert steps["write"] < 10, "the time of drawing is not that of writing"


def test_a_dropped_frame_of_a_live_source_is_never_converted() -> None:
    converted: list[int] = []

    class Lazily(FakeSource):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                yield replace(frame, pixels=Lazy(partial(self._convert, frame)))

        def _convert(self, frame: Frame) -> Picture:
            converted.append(frame.index)
            return frame.image

    sink = FakeSink()
    slow = FakePredictor(lambda indices: time.sleep(0.02))
    source = Lazily(100, is_live=True, before_frame=lambda _: time.sleep(0.002))
    stats = stream(source, sink, predictor=slow)
    assert converted == sink.written
    assert stats.snapshot().dropped["capture"] == 100 - len(converted)
    stream(Lazily(10), sink)
    assert converted[-10:] == list(range(10))


def test_a_stream_without_sinks_is_still_counted() -> None:
    assert stream(FakeSource(5)).snapshot().displayed == 5


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    sink = FakeSink()
    with pytest.raises(SourceError, match="damaged"):
        stream(FakeSource(20, error=SourceError("damaged")), sink)
    assert sink.written == list(range(20))
    assert sink.closed == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_not_full_is_not_lost_to_an_error_of_the_source(workers: int) -> None:
    sink = FakeSink()
    batches: list[list[int]] = []
    predictor = FakePredictor(batches.append, batch_size=8, workers=workers)
    with pytest.raises(SourceError, match="damaged"):
        stream(FakeSource(20, error=SourceError("damaged")), sink, predictor=predictor)
    assert sink.written == list(range(20))
    assert sorted(batches) == [list(range(8)), list(range(8, 16)), list(range(16, 20))]


@pytest.mark.parametrize("error", [ValueError("broken"), TimeoutError("broken"), StopAsyncIteration("broken")])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_predictor_ends_the_run_while_the_reader_waits_for_room(error: Exception, workers: int) -> None:
    def fail_at_the_third(indices: list[int]) -> None:
        if indices == [3]:
            raise error

    sink = FakeSink()
    with pytest.raises(type(error), match="broken"):
        stream(FakeSource(1000), sink, predictor=FakePredictor(fail_at_the_third, workers=workers))
    assert sink.written == [0, 1, 2]
    assert sink.closed == 1


def test_an_error_of_a_processor_ends_the_run_after_what_came_before() -> None:
    sink = FakeSink()
    with pytest.raises(ZeroDivisionError):
        stream(FakeSource(1000), sink, processors=[lambda result: (1 // (3 - result.frame.index) and result) or result])
    assert sink.written == [0, 1, 2]
    assert sink.closed == 1


def test_a_frame_that_cannot_be_converted_ends_the_run_after_the_frames_before_it() -> None:
    class Damaged(FakeSource):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                broken = Lazy(partial(raise_error, SourceError("no JPEG")))
                yield replace(frame, pixels=broken) if frame.index == 5 else frame

    for is_live in (False, True):
        sink = FakeSink()
        with pytest.raises(SourceError, match="no JPEG"):
            stream(Damaged(1000, is_live=is_live, before_frame=lambda _: time.sleep(0.005)), sink)
        assert sink.written == sorted(sink.written)
        assert sink.written[-1] == 4


def test_an_error_while_drawing_ends_the_run() -> None:
    sink = FakeSink(on_write=lambda result: result.picture)
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


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_a_paused_file_waits_and_goes_on_where_it_stood(policy: Policy) -> None:
    panel = ControlPanel()
    while_paused: list[list[int]] = []

    def pause_at_the_second(result: Result) -> None:
        if len(sink.written) == 1:
            panel.update(paused=True)

    def resume_after_a_while() -> None:
        if panel.current.paused:
            while_paused.append(list(sink.written))
            panel.update(paused=len(while_paused) < 3)

    sink = FakeSink(policy, on_write=pause_at_the_second, on_idle=resume_after_a_while)
    stream(FakeSource(20, before_frame=lambda _: time.sleep(0.02)), sink, panel=panel)
    assert while_paused == [sink.written[:2]] * 3
    assert sink.written[-1] == 19
    assert policy == "latest" or sink.written == list(range(20))


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
        def write(self, result: Result) -> None:
            measure(result)
            assert result.picture is not None

    tracemalloc.start()
    try:
        stream(FakeSource(10_000, frame_hw=(32, 32)), Forgetful())
    finally:
        tracemalloc.stop()
    frame_bytes = 32 * 32 * 3
    assert traced[9999] - traced[2000] < 100 * frame_bytes, "eight thousand frames later, not a hundred are kept"
