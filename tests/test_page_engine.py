import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from app.page import feed as feed_module
from app.page import stream_runner as engine_module
from app.page.choice import Choice
from app.page.model_cache import Models
from app.page.status import stream_status
from app.page.stream_runner import Engine
from app.stream.frames import Frame
from app.stream.parts import Source
from app.stream_errors import Fault, SinkError, SourceError
from tests.fake_media import grey
from tests.fake_model import FakeModel, FakeTorchPredictor, use_fake_predictor
from tests.test_reconnecting import FakeConnection, lost, refused
from tests.waiting import wait_until


class Camera:
    """A live source of grey pictures that counts how many of its kind are open."""

    source_id = "camera"
    is_live = True
    frame_rate: float | None = 100.0
    frame_count: int | None = None
    frame_hw = (48, 64)
    time_base = Fraction(1, 100)
    open_count = most_open = 0

    def __init__(self) -> None:
        self._closed = threading.Event()
        Camera.open_count += 1
        Camera.most_open = max(Camera.most_open, Camera.open_count)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(100_000):
            if self._closed.wait(0.005):
                return
            yield Frame(grey(index % 200), index, self.time_base, time.monotonic(), self.source_id, index)

    def close(self) -> None:
        if not self._closed.is_set():
            Camera.open_count -= 1
        self._closed.set()


class File(Camera):
    """Twenty pictures that end by themselves."""

    is_live = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(20):
            yield Frame(grey(10 * index), index, self.time_base, time.monotonic(), self.source_id, index)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Models that are loaded in no time; the names and devices that were."""
    asked: list[tuple[str, str]] = []

    def get(self: Models, name: str, device: str = "auto") -> FakeModel:
        asked.append((name, device))
        return FakeModel()

    use_fake_predictor(monkeypatch, engine_module)
    monkeypatch.setattr(Models, "get", get)
    monkeypatch.setattr(Camera, "open_count", 0)
    monkeypatch.setattr(Camera, "most_open", 0)
    return asked


@pytest.fixture
def engine(loads: list[tuple[str, str]]) -> Iterator[Engine]:
    made = Engine(Models())
    yield made
    made.close()


def state(engine: Engine) -> str:
    return str(stream_status(engine)["state"])


def has_shown(engine: Engine) -> bool:
    return bool(stream_status(engine).get("stats", {}).get("displayed", 0))


def camera(model: str = "nano") -> Choice:
    return Choice.single("camera", Camera, model)


def test_nothing_runs_or_is_loaded_before_it_is_asked_for(engine: Engine, loads: list[tuple[str, str]]) -> None:
    assert stream_status(engine)["state"] == "idle"
    assert engine.snapshot_png() is None
    assert loads == []
    engine.stop()


def test_a_stream_runs_until_it_is_stopped(engine: Engine) -> None:
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    assert state(engine) == "running"
    engine.stop()
    assert stream_status(engine)["message"] == "Stopped"
    assert (state(engine), Camera.open_count) == ("ended", 0)


def test_a_file_ends_by_itself_and_its_last_picture_stays(engine: Engine) -> None:
    engine.start(Choice.single("clip", File, "nano"))
    wait_until(lambda: state(engine) == "ended")
    assert stream_status(engine)["message"] == "The source has ended"
    assert stream_status(engine)["stats"]["displayed"] == 20
    png = engine.snapshot_png()
    assert png is not None
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (48, 64, 3)


def test_few_frames_of_a_file_wait_so_that_those_who_look_on_see_young_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeTorchPredictor, "on_image", staticmethod(lambda number: time.sleep(0.05)))
    engine.start(Choice.single("clip", File, "nano"))
    waiting = [0]
    while state(engine) in ("starting", "running"):
        stats = stream_status(engine)["stats"]
        waiting.append(stats.get("captured", 0) - stats.get("segmented", 0))
        time.sleep(0.01)
    assert 0 < max(waiting) <= 4  # one in the hands of each side, one between them; the two counts are not read at once


def test_a_new_start_replaces_the_stream_and_two_cameras_are_never_open(engine: Engine) -> None:
    for _ in range(10):
        engine.start(camera())
    wait_until(lambda: has_shown(engine))
    assert (Camera.most_open, Camera.open_count) == (1, 1)


def test_another_model_is_a_new_run_on_the_same_source(engine: Engine, loads: list[tuple[str, str]]) -> None:
    engine.switch("light-r18", "cpu")
    assert loads == []
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.switch("light-r18", "cpu")
    wait_until(lambda: stream_status(engine)["model"] == "light-r18" and has_shown(engine))
    assert loads == [("nano", "auto"), ("light-r18", "cpu")]


def test_the_same_model_again_is_no_new_run(engine: Engine, loads: list[tuple[str, str]]) -> None:
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.switch("nano", "auto")  # a widget that only had the focus
    assert state(engine) == "running"
    assert loads == [("nano", "auto")]


def test_paused_is_a_state_of_its_own_and_a_new_start_ends_it(engine: Engine) -> None:
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.panel.update(paused=True)
    assert state(engine) == "paused"
    engine.start(camera())
    wait_until(lambda: not engine.panel.current.paused)
    wait_until(lambda: has_shown(engine))
    assert state(engine) == "running"


def test_a_camera_that_is_lost_is_waited_for_and_comes_back(engine: Engine) -> None:
    back = threading.Event()
    first = [FakeConnection(3, ending=lost())]

    def open_camera() -> FakeConnection:
        if first:
            return first.pop()
        if not back.is_set():
            raise refused()
        return FakeConnection(3)

    engine.start(Choice.single("camera", open_camera, "nano"))
    wait_until(lambda: stream_status(engine)["message"].startswith("waiting: connection refused, next try in "))
    assert stream_status(engine)["state"] == "running"
    (reporter,) = engine.reporters()
    assert reporter.values()["state"] == "waiting"
    back.set()
    wait_until(lambda: stream_status(engine)["message"] == "" and stream_status(engine)["stats"]["captured"] > 3)
    assert engine.reporters()[0].values()["reconnects"] == 1
    engine.stop()
    assert engine.reporters() == []


def test_a_camera_that_another_program_holds_is_waited_for(engine: Engine) -> None:
    held = [SourceError("could not open camera 0: held", Fault.BUSY, "another program holds it")]

    def open_camera() -> FakeConnection:
        if held:
            raise held.pop()
        return FakeConnection(3)

    engine.start(Choice.single("camera 0", open_camera, "nano"))
    wait_until(lambda: stream_status(engine).get("stats", {}).get("captured", 0) >= 3)


def test_the_counters_are_there_while_a_source_is_opened(engine: Engine) -> None:
    may_open = threading.Event()

    def open_camera() -> FakeConnection:
        may_open.wait(20)
        return FakeConnection(3)

    engine.start(Choice.single("camera", open_camera, "nano"))
    (reporter,) = engine.reporters()
    assert (reporter.values()["source"], reporter.values()["state"]) == ("camera", "connecting")
    may_open.set()
    wait_until(lambda: [one.values()["captured"] for one in engine.reporters()] > [0])


def test_a_source_that_cannot_be_opened_is_told_in_one_sentence(engine: Engine) -> None:
    def fail() -> Source:
        raise SourceError("could not open camera 7: no such device")

    engine.start(Choice.single("camera 7", fail, "nano"))
    wait_until(lambda: state(engine) == "failed")
    assert stream_status(engine)["message"] == "could not open camera 7: no such device"


def test_a_bug_is_not_shown_to_visitors(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Source:
        raise RuntimeError("secret of the inside")

    engine.start(Choice.single("camera", fail, "nano"))
    wait_until(lambda: state(engine) == "failed")
    assert "secret" not in str(stream_status(engine))
    assert "secret of the inside" in capsys.readouterr().err


def test_fifty_starts_and_stops_leave_no_thread_and_no_camera(engine: Engine) -> None:
    before = set(threading.enumerate())
    for _ in range(50):
        engine.start(camera())
        wait_until(lambda: has_shown(engine))
        engine.stop()
    wait_until(lambda: not set(threading.enumerate()) - before)
    assert (Camera.open_count, Camera.most_open) == (0, 1)


def test_classes_of_another_model_do_not_outlive_it(engine: Engine) -> None:
    engine.panel.update(classes=frozenset({"dog", "cat"}))
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    assert engine.panel.current.classes == frozenset({"cat"})
    assert engine.controls_state()["class_names"] == ("person", "cat")
    engine.stop()
    assert engine.controls_state()["class_names"] == ()
    engine.panel.update(classes=frozenset({"dog"}))
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    assert engine.panel.current.classes is None


def test_a_recording_starts_and_stops_within_a_stream(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "recording.mp4"
    with pytest.raises(SinkError, match="start a stream first"):
        engine.start_recording(path)
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.start_recording(path)
    wait_until(lambda: stream_status(engine)["recorded_frames"] >= 5)
    assert stream_status(engine)["recording"]
    assert not engine.start_recording(tmp_path / "another.mp4")
    engine.stop_recording()
    assert not stream_status(engine)["recording"]
    assert state(engine) == "running"
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    assert len(pictures) == stream_status(engine)["recorded_frames"]
    assert pictures[0].time == 0


def test_a_recording_that_grows_too_large_ends_without_the_stream(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_RECORDED_BYTES", 1)
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.start_recording(tmp_path / "recording.mp4")
    wait_until(lambda: "limit" in stream_status(engine)["recording_problem"])
    shown = stream_status(engine)["stats"]["displayed"]
    wait_until(lambda: stream_status(engine)["stats"]["displayed"] > shown)
