"""`app.webcam` with several sources: one that is lost holds up nobody."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app import webcam
from app.drawing.waiting import WaitingCard, draw_waiting
from app.sinks.grid import GridTile, compose, tile_at
from app.sources import lasting, open_source, redact
from app.sources.failed import FailedSource
from app.stream.controls import ControlPanel, Controls, PanelGroup
from app.stream.frames import Frame, Picture
from app.stream_errors import SourceError
from tests.fake_media import grey, write_video
from tests.fake_model import use_fake_model
from tests.rtsp_camera import rtsp_camera, write_moving_clip
from tests.test_reconnecting import FakeConnection


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


def test_each_file_of_several_is_read_whole_and_written_to_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [write_video(tmp_path / f"{name}.mkv", [grey(60)] * count) for name, count in (("a", 12), ("b", 30))]
    options = [option for clip in clips for option in ("--source", str(clip))]
    saved, stats = tmp_path / "out-{source}.mp4", tmp_path / "stats.json"
    assert webcam.main([*options, "--headless", "--save", str(saved), "--stats-json", str(stats)]) == 0
    counted = json.loads(stats.read_text())["sources"]
    assert [(values["source"], values["displayed"]) for values in counted] == [(str(clips[0]), 12), (str(clips[1]), 30)]
    assert len(list(tmp_path.glob("out-*.mp4"))) == 2
    assert f"{clips[0]}: 12 frames in" in capsys.readouterr().out


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_cannot_be_opened_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    clip, bad = write_video(tmp_path / "good.mkv", [grey(60)] * 12), tmp_path / "bad.mkv"
    if is_there:
        bad.write_bytes(b"not a video")
    saved, stats = tmp_path / "out-{source}.mp4", tmp_path / "stats.json"
    options = ["--source", str(bad), "--source", str(clip), "--headless", "--stats-json", str(stats)]
    assert webcam.main([*options, "--save", str(saved)]) == 2
    told = capsys.readouterr()
    why = f"could not read {bad} as a video: " if is_there else f"no such file or folder: {bad}. "
    assert f"{bad}: {why}" in told.err
    assert "; the other sources go on" in told.err
    assert told.err.splitlines()[-1].startswith(f"error: {why}")
    bad_values, good_values = json.loads(stats.read_text())["sources"]
    assert (bad_values["state"], bad_values["displayed"], good_values["displayed"]) == ("ended", 0, 12)
    assert f"{clip}: 12 frames in" in told.out
    assert len(list(tmp_path.glob("out-*.mp4"))) == 1


def test_sources_of_which_none_can_be_opened_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"not a video")
    assert webcam.main(["--source", str(bad), "--source", str(tmp_path / "gone.mkv"), "--headless"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: could not read {bad} as a video")


def test_the_tile_of_a_source_that_cannot_be_opened_says_why() -> None:
    source = FailedSource("door", SourceError("could not open door: it is gone", reason="it is gone"))
    grid = FakeGrid()
    tile = GridTile(grid, 1, WaitingCard("door", source))  # type: ignore[arg-type]
    tile.close()  # at once, as its lane ends with the first frame that it asks for
    assert np.array_equal(grid.put_there[1], draw_waiting(None, "door", source.status))
    assert grid.closed_tiles == 1


class FakeGrid:
    def __init__(self) -> None:
        self.put_there: dict[int, Picture] = {}
        self.closed_tiles = 0

    def put(self, index: int, picture: Picture) -> None:
        self.put_there[index] = picture

    def tile_closed(self) -> None:
        self.closed_tiles += 1


@pytest.mark.rtsp
def test_a_camera_that_is_dead_holds_up_nobody_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_moving_clip(tmp_path / "clip.mp4", seconds=4)
    stats = tmp_path / "stats.jsonl"
    with rtsp_camera(clip) as camera:
        dead, living = "rtsp://me:secret@127.0.0.1:9/live", camera.address()
        options = ["--source", dead, "--source", living, "--headless", "--retry", "2", "--retry-seconds", "0.2"]
        assert webcam.main([*options, "--stats-json", str(stats), "--max-frames", "40"]) == 2
    told = capsys.readouterr().err
    assert "secret" not in told
    assert f"{redact(dead)}: waiting: connection refused, next try in 0 s" in told
    assert f"{redact(dead)}: ended: connection refused" in told
    assert f"{redact(living)}: connected 320x192 h264 25 fps" in told
    assert told.splitlines()[-1] == f"error: could not open {redact(dead)}: connection refused"
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert {(line["source"], line["state"]) for line in lines[-2:]} == {
        (redact(dead), "ended"),
        (redact(living), "ended"),
    }
    assert lines[-1]["displayed"] == 40


@pytest.mark.rtsp
def test_what_is_recorded_goes_on_in_one_file_when_the_camera_comes_back(tmp_path: Path) -> None:
    clip, saved = write_moving_clip(tmp_path / "clip.mp4", seconds=1), tmp_path / "out.mp4"
    with rtsp_camera(clip) as camera:
        options = ["--source", camera.address(), "--headless", "--retry-seconds", "0.3", "--save", str(saved)]
        assert webcam.main([*options, "--max-frames", "45"]) == 0
    frames = list(open_source(str(saved)))
    assert len(frames) >= 25, "a machine that is busy loses some"
    gaps = [later.pts_seconds - earlier.pts_seconds for earlier, later in pairwise(frames)]
    assert min(gaps) > 0
    assert max(gaps) > 0.2, "the time without pictures is there"


def test_old_frames_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LateConnection(FakeConnection):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                time.sleep(0.02)
                yield replace(frame, captured_at=frame.captured_at - (0.5 if frame.index % 2 else 0.0))

    monkeypatch.setattr(lasting, "find_source", lambda spec, settings: lambda: LateConnection(40))
    stats = tmp_path / "stats.json"
    options = ["--source", "rtsp://camera/live", "--headless", "--max-age-ms", "250", "--max-frames", "15"]
    assert webcam.main([*options, "--stats-json", str(stats)]) == 0
    values = json.loads(stats.read_text())
    assert values["dropped"]["stale"] >= 10
    assert values["run_age_p95_ms"] < 300


def test_pictures_of_several_sizes_stand_side_by_side() -> None:
    canvas = compose([np.full((90, 160, 3), 250, np.uint8), None, np.full((320, 180, 3), 100, np.uint8)])
    assert canvas.shape == (720, 1280, 3)
    assert canvas[180, 320].tolist() == [250] * 3
    assert canvas[180, 960].tolist() == [16] * 3
    assert canvas[540, 320].tolist() == [100] * 3
    assert canvas[540, 20].tolist() == [16] * 3, "beside a picture of another shape it stays dark"
    assert [tile_at(*point, 3) for point in ((10, 10), (700, 10), (10, 500), (700, 500))] == [0, 1, 2, None]


def test_keys_steer_all_sources_and_leave_their_own_classes() -> None:
    panels = [ControlPanel(Controls(classes=frozenset({"cat"}))), ControlPanel(Controls(classes=frozenset({"dog"})))]
    group = PanelGroup(panels)
    group.update(show_masks=False, score_threshold=0.7)
    assert [(p.current.show_masks, p.current.score_threshold) for p in panels] == [(False, 0.7)] * 2
    assert [p.current.classes for p in panels] == [frozenset({"cat"}), frozenset({"dog"})]
    assert group.current == panels[0].current


def test_a_file_is_played_again_and_again(tmp_path: Path) -> None:
    clip, saved = write_video(tmp_path / "clip.mkv", [grey(60)] * 10), tmp_path / "out.mp4"
    assert webcam.main(["--source", str(clip), "--loop", "--headless", "--save", str(saved), "--max-frames", "25"]) == 0
    assert [frame.pts_seconds for frame in open_source(str(saved))] == pytest.approx(
        [i / 25 for i in range(25)], abs=0.001
    )
