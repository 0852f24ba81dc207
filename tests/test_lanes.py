"""Several sources, one predictor: each has its own lane, and none waits for another."""

import threading
import time
from collections.abc import Iterator

import pytest

from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Frame, Picture, Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from app.stream_errors import SourceError
from solov2 import Instances
from tests.fake_instances import rectangles
from tests.fake_stream import FakePredictor, FakeSink, FakeSource, nothing_in, set_at

SOON = 20.0


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def two_in(image: Picture) -> Instances:
    """A person of score 0.9 and a cat of score 0.4."""
    return rectangles((image.shape[0], image.shape[1]), [(0, 0, 2, 2), (2, 2, 4, 4)], [0, 1])


def every(seconds: float) -> dict[str, object]:
    """What makes a fake source live, at a pace."""
    return {"is_live": True, "before_frame": lambda _: time.sleep(seconds)}


def test_two_files_are_read_whole_and_results_go_to_their_own_lane() -> None:
    sinks = [FakeSink(on_write=lambda result: sizes.add(result.frame.image.shape)) for _ in range(2)]
    sizes: set[tuple[int, ...]] = set()
    lanes = [Lane(FakeSource(30), sinks[:1]), Lane(FakeSource(50, frame_hw=(8, 4)), sinks[1:])]
    Stream(lanes, FakePredictor(batch_size=4, workers=2)).run()
    assert [sink.written for sink in sinks] == [list(range(30)), list(range(50))]
    assert sizes == {(4, 6, 3), (8, 4, 3)}
    assert [lane.stats.snapshot().displayed for lane in lanes] == [30, 50]


def test_live_frames_that_wait_together_run_in_one_batch() -> None:
    sizes: list[int] = []

    def slowly(indices: list[int]) -> None:
        sizes.append(len(indices))
        time.sleep(0.02)

    lanes = [Lane(FakeSource(50, **every(0.004))) for _ in range(3)]  # type: ignore[arg-type]
    Stream(lanes, FakePredictor(slowly, batch_size=4)).run()
    assert max(sizes) == 3, "a live source gives one frame to a batch"
    assert sizes.count(3) > len(sizes) / 2


def test_a_silent_source_holds_up_nobody() -> None:
    go_on = threading.Event()
    fast, silent = FakeSink(on_write=set_at(go_on, 99)), FakeSink()
    waits = FakeSource(2, is_live=True, before_frame=lambda index: index and go_on.wait(SOON))
    lanes = [Lane(waits, [silent]), Lane(FakeSource(100, **every(0.003)), [fast])]  # type: ignore[arg-type]
    Stream(lanes, FakePredictor(batch_size=2)).run()
    assert go_on.is_set(), "the last frame came while the other source was silent"
    assert len(fast.written) > 50
    assert silent.written == [0, 1]


def test_a_slow_file_does_not_keep_a_live_source_waiting() -> None:
    live, file = FakeSink(), FakeSink()
    slow = FakeSource(4, before_frame=lambda _: time.sleep(0.2))
    lanes = [Lane(slow, [file]), Lane(FakeSource(100, **every(0.003)), [live])]  # type: ignore[arg-type]
    Stream(lanes, FakePredictor(batch_size=8)).run()
    assert file.written == [0, 1, 2, 3]
    assert len(live.written) > 20


def test_where_not_all_frames_fit_each_source_gets_its_share() -> None:
    lanes = [Lane(FakeSource(150, **every(0.003)), [FakeSink()]) for _ in range(3)]  # type: ignore[arg-type]
    Stream(lanes, FakePredictor(lambda indices: time.sleep(0.006))).run()
    shares = [lane.stats.snapshot().displayed for lane in lanes]
    assert min(shares) > 0.5 * max(shares)


def test_a_source_that_fails_ends_its_own_lane_and_is_told_at_the_end() -> None:
    broken, whole = FakeSink(), FakeSink()
    lanes = [
        Lane(FakeSource(5, error=SourceError("unplugged")), [broken]),
        Lane(FakeSource(60, before_frame=lambda _: time.sleep(0.005)), [whole]),
    ]
    with pytest.raises(SourceError, match="unplugged"):
        Stream(lanes, FakePredictor()).run()
    assert (broken.written, broken.closed) == (list(range(5)), 1)
    assert (whole.written, whole.closed) == (list(range(60)), 1)


def test_an_error_of_one_lanes_sink_ends_all() -> None:
    def fail(result: Result) -> None:
        raise ZeroDivisionError

    other = FakeSink()
    lanes = [Lane(FakeSource(1000), [FakeSink(on_write=fail)]), Lane(FakeSource(1_000_000), [other])]
    with pytest.raises(ZeroDivisionError):
        Stream(lanes, FakePredictor()).run()
    assert other.closed == 1


def test_a_lane_ends_after_its_own_max_frames() -> None:
    sinks = [FakeSink(), FakeSink()]
    lanes = [Lane(FakeSource(1000), sinks[:1], max_frames=3), Lane(FakeSource(40), sinks[1:])]
    Stream(lanes, FakePredictor()).run()
    assert [sink.written for sink in sinks] == [list(range(3)), list(range(40))]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_each_lane_keeps_what_its_own_controls_let_through(batch_size: int) -> None:
    found: dict[str, set[int]] = {"all": set(), "sure": set(), "cats": set(), "none": set()}

    def note(result: Result) -> Result:
        found[result.frame.source_id].update(result.instances.labels.tolist())
        return result

    controls = (Controls(0.2), Controls(0.5), Controls(0.2, frozenset({"cat"})), Controls(0.2, frozenset()))
    lanes = [
        Lane(FakeSource(3, source_id=name), processors=[note], panel=ControlPanel(own))
        for name, own in zip(found, controls, strict=True)
    ]
    Stream(lanes, FakePredictor(find=two_in, batch_size=batch_size)).run()
    assert found == {"all": {0, 1}, "sure": {0}, "cats": {1}, "none": set()}


def test_the_predictor_is_asked_for_what_any_lane_of_the_batch_wants() -> None:
    def ask(*controls: Controls) -> tuple[float, tuple[int, ...] | None]:
        is_asked = threading.Event()
        predictor = FakePredictor(lambda indices: is_asked.set(), batch_size=len(controls))
        sources = [FakeSource(2, before_frame=lambda index: index and is_asked.wait(SOON)) for _ in controls]
        panels = map(ControlPanel, controls)
        Stream([Lane(one, panel=panel) for one, panel in zip(sources, panels, strict=True)], predictor).run()
        return predictor.asked[0]

    cats, people = Controls(0.5, frozenset({"cat"})), Controls(0.3, frozenset({"person"}))
    assert ask(cats) == (0.5, (1,))
    assert ask(cats, people) == (0.3, (0, 1))
    assert ask(cats, Controls(0.4)) == (0.4, None)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_predictor_is_not_asked_about_frames_that_are_recalled(workers: int) -> None:
    asked: list[int] = []

    def recall(frame: Frame) -> Instances | None:
        return nothing_in(frame.image) if frame.index < 7 else None

    sink = FakeSink()
    Stream([Lane(FakeSource(12), [sink], recall=recall)], FakePredictor(asked.extend, workers=workers)).run()
    assert sorted(asked) == [7, 8, 9, 10, 11]
    assert sink.written == list(range(12))


def test_a_predictor_that_times_no_step_has_its_whole_time_noted() -> None:
    lane = Lane(FakeSource(4))
    Stream([lane], FakePredictor(lambda indices: time.sleep(0.01), batch_size=2, times_steps=False)).run()
    assert lane.stats.snapshot().steps_ms["predict"] >= 5


def test_the_results_that_a_sink_of_the_callers_thread_took_are_yielded_and_closing_ends_the_run() -> None:
    here, elsewhere = FakeSink(in_callers_thread=True), FakeSink()
    results = Stream([Lane(FakeSource(1000), [here, elsewhere])], FakePredictor()).results()
    assert [next(results).frame.index for _ in range(3)] == [0, 1, 2]
    results.close()
    assert here.closed == elsewhere.closed == 1
    assert elsewhere.written == list(range(len(elsewhere.written)))
    assert 3 <= len(elsewhere.written) < 100


def test_somebody_may_stop_the_run_from_outside_and_what_the_sinks_have_is_kept() -> None:
    wanted = threading.Event()
    sink = FakeSink(on_write=set_at(wanted, 10))
    source = FakeSource(1_000_000, before_frame=lambda _: time.sleep(0.001))
    Stream([Lane(source, [sink])], FakePredictor(), wanted.is_set).run()
    assert 11 <= len(sink.written) < 1000
    assert sink.closed == 1
