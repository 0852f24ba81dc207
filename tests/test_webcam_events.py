"""`python -m app.webcam` with zones and events, from the options to what arrives."""

import json
from pathlib import Path

import pytest

from app import webcam, webcam_run
from tests.fake_annotation import FakeTorchPredictor
from tests.fake_media import grey, write_video
from tests.fake_model import FakeModel

ZONES = "zones: [{name: all, points: [[0, 0], [1, 0], [1, 1], [0, 1]]}]"


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTorchPredictor.batches = []
    monkeypatch.setattr(webcam_run, "load_runnable", lambda *_: FakeModel())
    monkeypatch.setattr(webcam_run, "open_predictor", FakeTorchPredictor)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    clip = write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(12)])
    (tmp_path / "zones.yaml").write_text(ZONES)
    return ["--source", str(clip), "--headless", "--zones", str(tmp_path / "zones.yaml")]


def test_events_and_counts_of_a_file_are_written(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["--events", "-", "--events", str(tmp_path / "e.jsonl"), "--zones-csv", str(tmp_path / "zones.csv")]
    assert webcam.main([*arguments, *more, "--event-masks"]) == 0
    out, told = capfd.readouterr()
    assert out == (tmp_path / "e.jsonl").read_text()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events[:3]] == ["appeared", "entered_zone", "zone_count"]
    assert events[0]["mask"]["size"] == [48, 64]
    assert f"events to standard output: {len(events)} sent, 0 lost" in told
    assert ",all,zone," in (tmp_path / "zones.csv").read_text()


def test_the_events_of_a_camera_go_where_its_entry_says(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENTS_FILE", str(tmp_path / "own.jsonl"))
    clip = arguments[1]
    config = tmp_path / "cameras.yaml"
    config.write_text(
        f"cameras: [{{name: one, source: '{clip}', events: ['${{EVENTS_FILE}}']}}, {{name: two, source: '{clip}'}},"
        f" {{name: three, source: '{clip}', events: []}}]"
    )
    common = tmp_path / "common.jsonl"
    assert webcam.main(["--config", str(config), "--headless", "--events", str(common)]) == 0
    sources = [
        {json.loads(line)["source"] for line in path.read_text().splitlines()}
        for path in (tmp_path / "own.jsonl", common)
    ]
    assert sources == [{"one"}, {"two"}]
    assert capfd.readouterr().out.count("events to ") == 2


@pytest.mark.parametrize(
    "events", ["['ftp://host/']", "['${MISSING_VARIABLE}']", "file.jsonl"], ids=["scheme", "variable", "no-list"]
)
def test_a_mistake_in_the_events_of_a_camera_is_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], events: str
) -> None:
    config = tmp_path / "cameras.yaml"
    config.write_text(f"cameras: [{{name: one, source: '{arguments[1]}', events: {events}}}]")
    assert webcam.main(["--config", str(config), "--headless"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("zones", "more", "problem"),
    [
        (ZONES, ["--events", "ftp://host/"], "events go to a file"),
        (ZONES.replace("all,", "all, classes: [dragon],"), [], "unknown class 'dragon'"),
        (ZONES.replace("points", "pixels").replace("1", "999"), [], "must lie in the picture"),
        (ZONES, ["--effect", "fill:dragon"], "unknown class 'dragon'"),
        (ZONES, ["--effect", "background:/missing.png"], "the background must be a picture"),
        (ZONES, ["--effect", "fill:person", "--save-clean", "--save", "x.mp4"], "would record what --effect hides"),
        ("lines: []", [], "holds neither zones nor lines"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], zones: str, more: list[str], problem: str
) -> None:
    (tmp_path / "zones.yaml").write_text(zones)
    assert webcam.main([*arguments, *more]) == 2
    told = capsys.readouterr().err
    assert problem in told
    assert told.count("\n") == 1
