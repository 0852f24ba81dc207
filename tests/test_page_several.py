"""Several sources on the page: named by the operator, shown side by side, each with its own lane."""

import argparse
import json
import struct
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.page import stream_runner
from app.page.choice import Choice, SourceChoice
from app.page.feed import TILE_WIDTH_PX
from app.page.model_cache import Models
from app.page.own_sources import open_own, own_sources
from app.page.server_options import plans_of
from app.page.status import stream_status
from app.page.stream_runner import ALL, Engine
from app.sources.browser import BrowserSource
from app.sources.reconnecting import ReconnectingSource
from app.sources.repeated import RepeatedSource
from app.stream.controls import Controls
from app.stream.parts import Source
from app.stream_errors import AppError, Fault, SourceError
from solov2.errors import SOLOv2Error
from tests.browser import options_of, served
from tests.fake_annotation import FakeTorchPredictor as FindingPredictor
from tests.fake_media import grey, write_video
from tests.fake_model import FakeModel, use_fake_predictor
from tests.test_page_routes import picture, socket_of, status
from tests.test_page_sources import jpeg_of
from tests.test_reconnecting import FakeConnection, refused
from tests.waiting import wait_until

CONTROLS = Controls(show_readout=False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    use_fake_predictor(monkeypatch, stream_runner)
    monkeypatch.setattr(Models, "get", lambda self, name, device="auto": FakeModel())
    made = Engine(Models())
    yield made
    made.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("several") / "clip.mp4", [grey(8 * i, (72, 96)) for i in range(20)])


def own(*specs: str) -> tuple[SourceChoice, ...]:
    options = [part for spec in specs for part in ("--source", spec)]
    return own_sources(plans_of(options_of(*options)))


def dead() -> Source:
    raise refused()


def states(engine: Engine) -> dict[str, dict[str, Any]]:
    return {source["name"]: source for source in stream_status(engine)["sources"]}


def test_a_dead_camera_holds_up_nobody(engine: Engine, clip: Path) -> None:
    hall = SourceChoice("hall", partial(open_own, "hall", dead, True), CONTROLS)
    engine.start(Choice((*own(str(clip), "demo"), hall), "nano"))
    wait_until(lambda: all(states(engine).get(name, {}).get("age_ms") is not None for name in (str(clip), "demo")))
    wait_until(lambda: states(engine)["hall"]["phase"] == "waiting")
    assert states(engine)["hall"]["reason"] == "connection refused"
    assert stream_status(engine)["state"] == "running"
    ages = [states(engine)[name]["age_ms"] for name in (str(clip), "demo")]
    assert states(engine)["hall"]["age_ms"] is None
    assert stream_status(engine)["stats"]["age_ms"] < 60_000 + max(ages)  # what was never shown has no age
    assert {reporter.values()["source"] for reporter in engine.reporters()} == {str(clip), "demo", "hall"}


def test_a_source_that_fails_for_good_says_why_and_the_others_go_on(engine: Engine, clip: Path) -> None:
    def refuse() -> Source:
        raise SourceError("could not open it: wrong password", Fault.AUTHENTICATION, "wrong password")

    gate = SourceChoice("gate", partial(open_own, "gate", refuse, True), CONTROLS)
    engine.start(Choice((*own(str(clip)), gate), "nano"))
    wait_until(lambda: states(engine)["gate"]["phase"] == "ended")
    assert states(engine)["gate"]["reason"] == "wrong password"
    shown = stream_status(engine, 0)["stats"]["displayed"]
    wait_until(lambda: stream_status(engine, 0)["stats"]["displayed"] > shown + 25)  # it begins again, too


def test_a_file_that_cannot_be_opened_says_why_and_the_others_go_on(engine: Engine, clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    engine.start(Choice(own(str(bad), str(clip)), "nano"))
    wait_until(lambda: stream_status(engine, 1).get("stats", {}).get("displayed", 0) > 25)
    assert states(engine)[str(bad)]["phase"] == "ended"
    assert "could not read" in states(engine)[str(bad)]["reason"]
    assert engine.boards(0)[0].newest is not None, "its tile shows the card, also to those who come later"


def test_each_source_has_its_own_controls_and_all_are_changed_together(engine: Engine, clip: Path) -> None:
    engine.start(Choice(own(str(clip), "demo"), "nano"))
    wait_until(lambda: stream_status(engine)["state"] == "running")
    engine.panel_of(1).update(score_threshold=0.7, paused=True)
    assert [engine.panel_of(number).current.score_threshold for number in (0, 1)] == [0.4, 0.7]
    assert [stream_status(engine, number)["state"] for number in (0, 1, ALL)] == ["running", "paused", "running"]
    assert engine.controls_state(1)["score_threshold"] == 0.7
    engine.panel_of(ALL).update(opacity=0.2)
    assert [engine.panel_of(number).current.opacity for number in (0, 1)] == [0.2, 0.2]
    engine.switch("light-r18", "auto")
    wait_until(lambda: stream_status(engine)["model"] == "light-r18" and stream_status(engine)["state"] == "running")
    assert engine.panel_of(1).current.score_threshold == 0.7  # outlives the run


def test_what_a_visitor_chooses_keeps_its_own_controls_beside_those_of_the_operator(engine: Engine, clip: Path) -> None:
    engine.panel.update(score_threshold=0.9)
    engine.start(Choice(own(str(clip), "demo"), "nano"))
    assert engine.panel_of(0).current.score_threshold == 0.4
    engine.start(Choice.single("clip", lambda: RepeatedSource(own("demo")[0].open_source), "nano"))
    wait_until(lambda: stream_status(engine)["source"] == "clip")
    assert engine.panel_of(ALL).current.score_threshold == 0.9


def test_a_model_that_fails_to_load_leaves_the_stream_running(
    engine: Engine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start(Choice(own(str(clip)), "nano"))
    wait_until(lambda: stream_status(engine)["state"] == "running")
    run, may_fail = engine.run, threading.Event()

    def get(self: Models, name: str, device: str = "auto") -> FakeModel:
        may_fail.wait(60)
        raise SOLOv2Error("could not download light-r18: no network")

    monkeypatch.setattr(Models, "get", get)
    engine.switch("light-r18", "auto")
    assert stream_status(engine)["loading"] == engine.controls_state()["model"] == "light-r18"
    may_fail.set()
    wait_until(lambda: stream_status(engine)["problem"])
    told = stream_status(engine)
    assert (told["problem"], told["state"], told["loading"]) == (
        "could not download light-r18: no network",
        "running",
        "",
    )
    assert engine.run is run
    assert engine.controls_state()["model"] == "nano"
    shown = told["stats"]["displayed"]
    wait_until(lambda: stream_status(engine)["stats"]["displayed"] > shown)


def test_going_back_to_the_model_that_runs_cancels_the_other(
    engine: Engine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start(Choice(own(str(clip)), "nano"))
    wait_until(lambda: stream_status(engine)["state"] == "running")
    run, loaded = engine.run, threading.Event()

    def get(self: Models, name: str, device: str = "auto") -> FakeModel:
        assert loaded.wait(60)
        return FakeModel()

    monkeypatch.setattr(Models, "get", get)
    engine.switch("light-r18", "auto")
    engine.switch("nano", "auto")
    loaded.set()
    assert stream_status(engine)["loading"] == ""
    shown = stream_status(engine)["stats"]["displayed"]
    wait_until(lambda: stream_status(engine)["stats"]["displayed"] > shown + 5)
    assert engine.run is run


def test_a_damaged_picture_of_a_browser_ends_nobodys_stream(engine: Engine) -> None:
    engine.start(Choice.single("camera", partial(BrowserSource, "anna"), "nano"))
    wait_until(lambda: engine.camera_of("anna"))
    camera = engine.camera_of("anna")
    assert camera is not None
    for number, jpeg in enumerate((jpeg_of(1), b"no picture", jpeg_of(2)[:300], jpeg_of(3))):
        camera.push(jpeg, 1000 + 40 * number)
        if number in (0, 3):
            wait_until(lambda: stream_status(engine)["stats"]["captured"] >= 1 + (number == 3))  # noqa: B023
    assert stream_status(engine)["state"] == "running"


def test_live_sources_of_the_operator_are_opened_whenever_they_can_be_and_files_are_repeated(clip: Path) -> None:
    opened = open_own("camera", partial(FakeConnection, 3), True)
    assert isinstance(opened, ReconnectingSource)
    opened.close()
    assert isinstance(own(str(clip))[0].open_source(), RepeatedSource)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[tuple[str, Any]]:
    arguments = ["--source", str(clip), "--source", "demo", "--source", str(clip)]
    with served(tmp_path_factory.mktemp("page"), *arguments) as opened:
        opened[1].start_own()
        yield opened


def test_a_viewer_sees_all_sources_as_tiles_and_one_alone_in_full_size(page: tuple[str, Any]) -> None:
    address, _ = page
    with socket_of(address) as socket:
        told = status_of_running(socket)
        assert [source["name"].rsplit("/")[-1] for source in told["sources"]] == ["clip.mp4", "demo", "clip.mp4 (2)"]
        sizes: dict[int, int] = {}
        while len(sizes) < 3:
            number, sizes_wh = tile(picture(socket))
            sizes[number] = sizes_wh[0]
            socket.send(json.dumps({"ready": number}))
        assert sizes == {0: 96, 1: TILE_WIDTH_PX, 2: 96}
        socket.send('{"look": 1}')
        while True:
            number, wh = tile(picture(socket))
            socket.send(json.dumps({"ready": number}))
            if wh == (1280, 720):
                break
        assert number == 1
        assert status(socket, source="3 sources", has_picture=True)["stats"]["source"] == "demo"


def test_what_is_done_is_done_to_the_source_that_is_looked_at(page: tuple[str, Any]) -> None:
    address, site = page
    with socket_of(address) as socket:
        socket.send('{"look": 2}')
        socket.send('{"do": "pause"}')
        assert status(socket, state="paused")["sources"][2]["phase"] == "paused"
        assert [view.panel.current.paused for view in site.engine.views] == [False, False, True]
        socket.send('{"look": -1}')
        socket.send('{"do": "resume"}')
        wait_until(lambda: not any(view.panel.current.paused for view in site.engine.views))


def status_of_running(socket: Any) -> dict[str, Any]:
    """The status once the stream runs. Pictures that come before are acknowledged, or no more of them would be sent."""
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, bytes):
            socket.send(json.dumps({"ready": tile(message)[0]}))
            continue
        told = json.loads(message).get("status")
        if told and told["state"] == "running":
            return dict(told)


def tile(message: bytes) -> tuple[int, tuple[int, int]]:
    """The number of the source, and the (width, height) of its picture."""
    (number,) = struct.unpack_from("<I", message, 16)
    image = cv2.imdecode(np.frombuffer(message[20:], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return number, (image.shape[1], image.shape[0])


def problem_of(options: argparse.Namespace) -> str:
    with pytest.raises(AppError) as caught:
        plans_of(options)
    return str(caught.value)


def test_mistakes_in_the_sources_are_one_line(tmp_path: Path) -> None:
    config = tmp_path / "cameras.yaml"
    config.write_text("cameras:\n  - {name: hall, source: 0, colour: red}\n")
    assert "unknown key cameras.0.colour" in problem_of(options_of("--config", str(config)))
    assert "either --source or --config" in problem_of(options_of("--config", str(config), "--source", "0"))
    assert problem_of(options_of("--source", "gone.mp4")).startswith("no such file or folder: gone.mp4")
    many = [part for _ in range(17) for part in ("--source", "demo")]
    assert problem_of(options_of(*many)) == "the page shows at most 16 sources, got 17"
    config.write_text("cameras:\n  - {name: hall, source: demo, classes: [persn]}\n")
    with pytest.raises(SOLOv2Error, match="persn"):
        plans_of(options_of("--config", str(config)))


def test_a_file_of_cameras_gives_names_and_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "cameras.yaml"
    config.write_text(
        "cameras:\n  - {name: hall, source: demo, score: 0.6, classes: [person], track: true, save: hall.mp4}\n"
    )
    (hall,) = own_sources(plans_of(options_of("--config", str(config))))
    assert (hall.name, hall.controls) == (
        "hall",
        Controls(score_threshold=0.6, classes=frozenset({"person"}), show_readout=False, track=True),
    )
    assert capsys.readouterr().err == "hall: 'save' is left out, as the page records on request\n"


def test_zones_and_events_of_the_operators_sources_are_watched(
    engine: Engine, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FindingPredictor, "batches", [], raising=False)
    monkeypatch.setattr(stream_runner, "open_predictor", FindingPredictor)
    zones = tmp_path / "zones.yaml"
    zones.write_text("zones: [{name: all, points: [[0, 0], [1, 0], [1, 1], [0, 1]]}]")
    events = tmp_path / "events.jsonl"
    options = options_of("--source", str(clip), "--zones", str(zones), "--events", str(events))
    engine.start(Choice(own_sources(plans_of(options)), "nano"))
    wait_until(lambda: events.exists() and "zone_count" in events.read_text())
    shown = engine.feeds[0].shown.result
    assert shown is not None
    assert [state.area.name for state in shown.areas] == ["all"]
    engine.stop()
    kinds = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert kinds[:3] == ["appeared", "entered_zone", "zone_count"]


def test_a_zone_outside_of_the_picture_is_told(engine: Engine, clip: Path, tmp_path: Path) -> None:
    zones = tmp_path / "zones.yaml"
    zones.write_text("zones: [{name: far, pixels: [[0, 0], [900, 0], [900, 9]]}]")
    engine.start(Choice(own_sources(plans_of(options_of("--source", str(clip), "--zones", str(zones)))), "nano"))
    wait_until(lambda: stream_status(engine)["state"] == "failed")
    assert "must lie in the picture" in stream_status(engine)["message"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--events", "e.jsonl"], "need sources"),
        (["--source", "demo", "--events", "-"], "not to standard output"),
        (["--source", "demo", "--events", "ftp://host/"], "events go to a file"),
        (["--source", "demo", "--zones", "missing.yaml"], "missing.yaml"),
    ],
)
def test_zones_or_events_that_make_no_sense_are_refused(more: list[str], problem: str) -> None:
    with pytest.raises(AppError, match=problem):
        plans_of(options_of(*more))
