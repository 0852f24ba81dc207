import json
import threading
import time

import pytest

from app.stream.stats import StreamStats


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its only element is changed."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def run_at(stats: StreamStats, clock: list[float], fps: float, seconds: float) -> None:
    for _ in range(round(fps * seconds)):
        clock[0] += 1 / fps
        stats.captured()
        stats.segmented({"network": 20.0})
        stats.displayed(0.05)


def test_a_steady_stream_shows_its_rate(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=25, seconds=5)
    snapshot = stats.snapshot()
    assert snapshot.capture_fps == pytest.approx(25, abs=0.5)
    assert snapshot.inference_fps == pytest.approx(25, abs=0.5)
    assert snapshot.display_fps == pytest.approx(25, abs=0.5)


def test_a_stream_that_has_just_begun_is_not_shown_too_slow(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=25, seconds=0.4)
    assert stats.snapshot().capture_fps == pytest.approx(25)


def test_a_stream_of_tiny_frames_may_be_very_fast(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=5000, seconds=3)
    assert stats.snapshot().capture_fps == pytest.approx(5000, rel=0.01)


def test_one_frame_makes_no_rate(clock: list[float]) -> None:
    stats = StreamStats()
    stats.captured()
    assert stats.snapshot().capture_fps is None


def test_the_first_moments_make_no_rate(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=5000, seconds=0.01)
    snapshot = stats.snapshot()
    assert (snapshot.capture_fps, snapshot.inference_fps, snapshot.display_fps) == (None, None, None)


def test_the_age_of_the_last_picture_grows_while_none_follows(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=25, seconds=3)
    assert stats.snapshot().age_ms == pytest.approx(50)
    clock[0] += 7
    assert stats.snapshot().age_ms == pytest.approx(7050)


def test_ages_of_the_whole_run_are_kept(clock: list[float]) -> None:
    stats = StreamStats()
    for age_ms in range(1, 1001):
        clock[0] += 1
        stats.displayed(age_ms / 1000)
    snapshot = stats.snapshot()
    assert snapshot.run_age_p50_ms == pytest.approx(500, rel=0.025)
    assert snapshot.run_age_p95_ms == pytest.approx(950, rel=0.025)


def test_everything_falls_to_nothing_when_nothing_arrives(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=25, seconds=3)
    clock[0] += 1
    assert stats.snapshot().capture_fps == pytest.approx(12.5, abs=0.5)
    clock[0] += 1.1
    snapshot = stats.snapshot()
    assert (snapshot.capture_fps, snapshot.inference_fps, snapshot.display_fps) == (0, 0, 0)
    assert (snapshot.age_p50_ms, snapshot.age_p95_ms) == (0, 0)
    assert snapshot.steps_ms == {}
    assert snapshot.displayed == 75


def test_the_rate_recovers_after_a_stall(clock: list[float]) -> None:
    stats = StreamStats()
    run_at(stats, clock, fps=25, seconds=3)
    clock[0] += 60
    run_at(stats, clock, fps=10, seconds=3)
    assert stats.snapshot().display_fps == pytest.approx(10, abs=0.5)


def test_ages_are_given_as_newest_median_and_95th_percentile(clock: list[float]) -> None:
    stats = StreamStats()
    for age_ms in (*range(1, 100), 7):
        stats.displayed(age_ms / 1000)
    snapshot = stats.snapshot()
    assert snapshot.age_ms == pytest.approx(7)
    assert snapshot.age_p50_ms == pytest.approx(49)
    assert snapshot.age_p95_ms == pytest.approx(94)


def test_steps_are_averaged_and_keep_their_order(clock: list[float]) -> None:
    stats = StreamStats()
    stats.segmented({"preprocess": 1.0, "network": 30.0})
    stats.timed("draw", 4.0)
    stats.segmented({"preprocess": 3.0, "network": 50.0})
    assert list(stats.snapshot().steps_ms.items()) == [("preprocess", 2.0), ("network", 40.0), ("draw", 4.0)]


def test_drops_are_counted_by_cause_over_the_whole_run(clock: list[float]) -> None:
    stats = StreamStats()
    for cause in ("capture", "display", "capture"):
        stats.dropped(cause)
    clock[0] += 60
    assert stats.snapshot().dropped == {"capture": 2, "display": 1}


def test_the_run_is_measured_from_the_first_capture_to_the_last_display(clock: list[float]) -> None:
    stats = StreamStats()
    clock[0] += 30  # a model that is being loaded does not count
    stats.captured()
    clock[0] += 2
    stats.displayed(2.0)
    clock[0] += 2
    stats.displayed(2.0)
    clock[0] += 5
    snapshot = stats.snapshot()
    assert snapshot.seconds == pytest.approx(4)
    assert snapshot.mean_fps == pytest.approx(0.5)


def test_nothing_at_all_is_all_zeros_and_json() -> None:
    values = json.loads(json.dumps(StreamStats().snapshot().as_dict()))
    assert values["mean_fps"] == values["seconds"] == values["display_fps"] == 0
    assert values["dropped"] == values["steps_ms"] == {}


def test_many_threads_lose_no_count() -> None:
    stats = StreamStats()

    def count() -> None:
        for _ in range(500):
            stats.captured()
            stats.dropped("capture")
            stats.snapshot()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.snapshot().captured == 2000
    assert stats.snapshot().dropped == {"capture": 2000}


def test_a_step_within_a_step_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    stats = StreamStats()
    with stats.timing("write"):
        now[0] += 0.002
        with stats.timing("draw"):
            now[0] += 0.005
        now[0] += 0.001
    with stats.timing("write"):
        now[0] += 0.003
    assert stats.snapshot().steps_ms == pytest.approx({"draw": 5.0, "write": 3.0})
