import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import av
import pytest

from app import webcam, webcam_outputs, webcam_run
from app.drawing.renderer import Renderer
from app.sinks.mp4 import Mp4Writer
from app.sources.camera import Camera
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Picture, Result
from app.stream.parts import Policy, Sink
from tests.fake_media import grey, seconds_of, write_sound_film, write_video
from tests.fake_model import FakeTorchPredictor, use_fake_model


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that is loaded in no time; returns the names that were loaded."""
    return use_fake_model(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mkv", [grey(5 * i) for i in range(20)], [i * i * 10 for i in range(20)])


def timestamps(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [picture.time for picture in container.decode(video=0)]


def test_a_video_is_saved_with_every_frame_at_its_own_time(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "out.mp4"
    assert webcam.main(["--source", str(clip), "--headless", "--save", str(saved)]) == 0
    assert timestamps(saved) == pytest.approx([i * i / 100 for i in range(20)], abs=0.001)
    told = capsys.readouterr()
    assert told.out.startswith("20 frames in ")
    assert told.out.endswith(f"saved {saved}\n")
    assert told.err == ""


def test_the_counters_are_written_as_json(clip: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    assert webcam.main(["--source", str(clip), "--headless", "--max-frames", "7", "--stats-json", str(stats)]) == 0
    values = json.loads(stats.read_text())
    assert values["displayed"] == 7
    assert values["dropped"] == {}


def test_without_a_display_it_says_so_and_goes_on(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert webcam.main(["--source", str(clip)]) == 0
    assert capsys.readouterr().err == "no display found: going on without a window\n"


def test_the_options_become_the_controls(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Controls] = []

    def make_panel(controls: Controls) -> ControlPanel:
        made.append(controls)
        return ControlPanel(controls)

    monkeypatch.setattr(webcam_run, "ControlPanel", make_panel)
    options = ["--source", str(clip), "--headless", "--score", "0.7", "--classes", "cat, person", "--no-readout"]
    assert webcam.main(options) == 0
    (controls,) = made
    assert (controls.score_threshold, controls.classes) == (0.7, frozenset({"cat", "person"}))
    assert not controls.show_readout
    assert not controls.track
    assert set(FakeTorchPredictor.asked) == {(0.7, (0, 1))}


@pytest.mark.parametrize(("options", "track_ids"), [([], None), (["--track"], ())])
def test_instances_are_tracked_if_asked(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], track_ids: tuple[int, ...] | None
) -> None:
    drawn: list[Result] = []

    def draw(renderer: object, result: Result, *_: object) -> Picture:
        drawn.append(result)
        return result.frame.image

    monkeypatch.setattr(Renderer, "draw_plain", draw)
    saved = tmp_path / "out.mp4"
    assert webcam.main(["--source", str(clip), "--headless", "--save", str(saved), "--max-frames", "3", *options]) == 0
    assert {result.track_ids for result in drawn} == {track_ids}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "nowhere.mp4"], "no such file or folder: nowhere.mp4"),
        (["--source", "demo", "--save", "no/such/folder/out.mp4"], "there is no folder no/such/folder"),
        (["--source", "demo", "--save", "out.avi"], "is written as .mp4 or .mkv, got 'out.avi'"),
        (["--source", "demo", "--save", "."], "is written as .mp4 or .mkv, got '.'"),
        (["--source", "demo", "--save", "a.mp4", "--save-clean", "--save-readout"], "got both"),
        (["--source", "0", "--save", "a.mp4", "--pre-roll", "5"], "--pre-roll needs --record-when"),
        (["--source", "0", "--segment", "5"], "--segment and --record-when need --save"),
        (["--source", "demo", "--save", "a.mp4", "--segment", "5"], "are for live sources, got demo"),
        (
            ["--source", "0", "--save", "a.mp4", "--record-when", "cat", "--classes", "person"],
            "--record-when cat needs cat among --classes",
        ),
        (["--source", "demo", "--stats-json", "."], ". is a folder"),
        (["--source", "demo", "--device", "gpu"], "unknown device 'gpu'. Did you mean 'cpu'?"),
        (["--source", "demo", "--dtype", "half"], "unknown dtype 'half'"),
    ],
)
def test_a_bad_option_is_one_line_before_the_model_is_loaded(
    options: list[str], message: str, loaded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert webcam.main(options) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told
    assert told.count("\n") == 1
    assert loaded == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--segment", "inf"], "argument --segment: must be a number above 0, got 'inf'"),
        (["--segment", "nan"], "argument --segment: must be a number above 0, got 'nan'"),
        (["--score", "1.5"], "argument --score: must be a number in [0, 1], got '1.5'"),
        (["--score", "high"], "argument --score: must be a number in [0, 1], got 'high'"),
        (["--score", "nan"], "argument --score: must be a number in [0, 1], got 'nan'"),
        (["--max-frames", "0"], "argument --max-frames: must be a whole number of at least 1, got '0'"),
        (["--max-frames", "-1"], "argument --max-frames: must be a whole number of at least 1, got '-1'"),
        (["--max-frames", "2.5"], "argument --max-frames: must be a whole number of at least 1, got '2.5'"),
        (["--classes", " ,"], "argument --classes: must be names between commas, such as person,cat"),
        (["--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        webcam.main(["--source", "demo", *options])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {message}. For help: python -m app.webcam --help\n"


def test_an_unknown_class_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert webcam.main(["--source", "demo", "--classes", "person,cart"]) == 2
    assert capsys.readouterr().err == "error: unknown class 'cart'. Did you mean 'cat'? Known: person, cat\n"


@pytest.mark.parametrize("stats", ["out.mp4", "./out.mp4", "link.mp4"])
def test_two_outputs_of_one_name_are_refused(
    clip: Path, tmp_path: Path, stats: str, loaded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "out.mp4")
    options = ["--source", str(clip), "--save", str(tmp_path / "out.mp4"), "--stats-json", f"{tmp_path}/{stats}"]
    assert webcam.main(options) == 2
    told = capsys.readouterr().err
    assert "--save and --stats-json both name" in told
    assert told.count("\n") == 1
    assert loaded == []


@pytest.mark.parametrize("option", ["--save", "--stats-json"])
def test_a_named_pipe_as_an_output_is_refused_at_once(
    clip: Path, tmp_path: Path, option: str, loaded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert webcam.main(["--source", str(clip), "--headless", option, str(tmp_path / "pipe.mp4")]) == 2
    assert "pipe.mp4 is a named pipe, whose reader may never come: name a file" in capsys.readouterr().err
    assert loaded == []


def test_the_source_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mp4", [grey(0)] * 5)
    content = clip.read_bytes()
    assert webcam.main(["--source", str(clip), "--save", str(tmp_path / "." / "clip.mp4")]) == 2
    assert "is the source itself" in capsys.readouterr().err
    assert clip.read_bytes() == content


def test_what_could_be_read_of_a_damaged_video_is_saved_and_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "clip.mp4", [grey(5 * i) for i in range(50)], options={"movflags": "faststart"})
    cut, saved = tmp_path / "cut.mp4", tmp_path / "out.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 8 // 10])
    assert webcam.main(["--source", str(cut), "--headless", "--save", str(saved)]) == 2
    told = capsys.readouterr()
    assert len(timestamps(saved)) >= 5
    assert f"saved {saved}" in told.out
    assert "is cut off at" in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_run_with_a_whole_file(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt_at_the_tenth(index: int) -> None:
        time.sleep(0.005)
        if index == 10:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(FakeTorchPredictor, "on_image", staticmethod(interrupt_at_the_tenth))
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    saved = tmp_path / "out.mp4"
    clip = write_video(tmp_path / "clip.mp4", [grey(0)] * 300)
    assert webcam.main(["--source", str(clip), "--headless", "--save", str(saved)]) == 130
    assert 1 <= len(timestamps(saved)) < 100
    assert f"saved {saved}" in capsys.readouterr().out
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert {thread.name for thread in threading.enumerate()} & {
        "capture",
        "predict",
        "process",
        "sink_VideoSink",
    } == set()


def test_ctrl_c_while_the_model_is_loaded_is_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_runnable(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(webcam_run, "load_runnable", load_runnable)
    assert webcam.main(["--source", "demo", "--headless"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_second_ctrl_c_does_not_wait_and_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt_twice(number: int) -> None:
        if number == 10:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)

    monkeypatch.setattr(FakeTorchPredictor, "on_image", staticmethod(interrupt_twice))
    saved = tmp_path / "out.mp4"
    clip = write_video(tmp_path / "clip.mp4", [grey(0)] * 300)
    assert webcam.main(["--source", str(clip), "--headless", "--save", str(saved)]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert 1 <= len(timestamps(saved)) <= 10


def test_ctrl_c_during_the_imports_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "app.webcam", "--source", "demo"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_a_reader_that_has_gone_ends_the_run_quietly(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert webcam.main(["--source", str(clip), "--headless"]) == 141


def test_closed_standard_streams_are_no_trouble(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert webcam.main(["--source", str(clip), "--save", str(tmp_path / "out.mp4")]) == 0
    assert len(timestamps(tmp_path / "out.mp4")) == 20


def test_a_full_disk_is_one_line_and_what_was_saved_is_not_praised(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Mp4Writer, picture: Picture, pts: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Mp4Writer, "add", fail)
    saved = tmp_path / "out.mp4"
    assert webcam.main(["--source", str(clip), "--headless", "--save", str(saved)]) == 2
    told = capsys.readouterr()
    assert "saved" not in told.out
    assert told.err.startswith(f"error: could not write {saved}: No space left on device. ")
    assert told.err.count("\n") == 1


class FakeWindow(Sink):
    """Stands in for the window; Ctrl-C comes soon after its second picture."""

    policy: ClassVar[Policy] = "latest"
    in_callers_thread = True

    def __init__(self, panel: ControlPanel, cover: object = None) -> None:
        pass

    def write(self, result: Result) -> None:
        if result.frame.index == 1:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_window_shows_a_file_as_it_was_filmed_and_obeys_ctrl_c_in_a_long_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webcam_outputs, "has_display", lambda: True)
    monkeypatch.setattr(webcam_outputs, "WindowSink", FakeWindow)
    monkeypatch.setattr(webcam_run, "WindowSink", FakeWindow)
    clip = write_video(tmp_path / "clip.mkv", [grey(0)] * 3, [0, 500, 3_600_000])
    started = time.monotonic()
    assert webcam.main(["--source", str(clip)]) == 130
    assert 0.5 < time.monotonic() - started < 3


def test_cameras_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(webcam_run, "list_cameras", lambda: [Camera(2, "Front", (480, 640))])
    assert webcam.main(["--list-cameras"]) == 0
    assert capsys.readouterr().out == "2  Front  640x480\n"
    monkeypatch.setattr(webcam_run, "list_cameras", list)
    assert webcam.main(["--list-cameras"]) == 0
    assert capsys.readouterr().out == "no camera found\n"


def test_a_terminal_gets_a_progress_line(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert webcam.main(["--source", str(clip), "--headless", "--max-frames", "10"]) == 0
    assert "10/10" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_sound_of_a_file_is_copied(tmp_path: Path, suffix: str) -> None:
    film, saved = write_sound_film(tmp_path / "film.mp4"), tmp_path / f"out{suffix}"
    assert webcam.main(["--source", str(film), "--headless", "--save", str(saved)]) == 0
    assert [data for _, data in audio_packets(saved)] == [data for _, data in audio_packets(film)]
    assert timestamps(saved) == pytest.approx(timestamps(film), abs=0.0006)


def test_the_sound_ends_with_the_pictures_of_a_run_that_was_stopped(tmp_path: Path) -> None:
    film, saved = write_sound_film(tmp_path / "film.mp4", seconds=4), tmp_path / "out.mp4"
    assert webcam.main(["--source", str(film), "--headless", "--save", str(saved), "--max-frames", "25"]) == 0
    assert max(seconds for seconds, _ in audio_packets(saved)) == pytest.approx(1.0, abs=0.05)


def audio_packets(path: Path) -> list[tuple[float, bytes]]:
    """When each begins, in seconds, and its bytes."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        return [(float(seconds_of(packet)), bytes(packet)) for packet in packets]
