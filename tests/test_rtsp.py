"""A real RTSP server on loopback: GStreamer's, in a process of its own."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest

from app import webcam
from app.sinks.video_sink import VideoSink
from app.sources import live, open_source, redact
from app.stream.frames import Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from app.stream_errors import SourceError
from tests.fake_media import grey, write_sound_film, write_video
from tests.fake_model import FakeTorchPredictor, use_fake_model
from tests.fake_stream import FakePredictor
from tests.rtsp_camera import Camera, rtsp_camera

pytestmark = pytest.mark.rtsp

FPS = 25
SLOW_SECONDS = 0.2


@pytest.fixture(scope="module")
def counting_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rtsp")
    return write_video(folder / "clip.mp4", [grey(value) for value in range(10 * FPS)])


@pytest.fixture
def start_camera(counting_clip: Path) -> Iterator[Callable[..., Camera]]:
    """Returns a function that starts a server whose grey value counts its pictures, with the options given to it."""
    with ExitStack() as running:
        yield lambda *options: running.enter_context(rtsp_camera(counting_clip, *options))


def saved_pictures(path: Path) -> list[tuple[float, int]]:
    """Seconds and grey value of every picture of a video."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return [(picture.time, int(picture.to_ndarray(format="rgb24")[0, 0, 0])) for picture in pictures]


def test_a_stream_is_saved_with_the_times_of_its_frames(start_camera: Callable[..., Camera], tmp_path: Path) -> None:
    source = open_source(start_camera().address())
    assert (source.is_live, source.frame_hw) == (True, (48, 64))
    assert source.frame_rate is None, "the clip's header says 1000, its time base"
    sink = VideoSink(tmp_path / "out.mp4", frame_rate=source.frame_rate, start_at_zero=True)
    Stream([Lane(source, [sink], max_frames=30)], FakePredictor()).run()
    saved = saved_pictures(tmp_path / "out.mp4")
    first_value = saved[0][1]
    assert len(saved) == 30
    assert [seconds for seconds, _ in saved] == pytest.approx(
        [(v - first_value) / FPS for _, v in saved], abs=2.5 / FPS
    )


def test_a_slow_predictor_gets_the_newest_frame(start_camera: Callable[..., Camera]) -> None:
    ages: list[float] = []

    def note_age(result: Result) -> Result:
        ages.append(result.frame.age_seconds() - SLOW_SECONDS)
        return result

    slow = FakePredictor(lambda indices: time.sleep(SLOW_SECONDS))
    lane = Lane(open_source(start_camera().address()), processors=[note_age], max_frames=10)
    Stream([lane], slow).run()
    counted = lane.stats.snapshot()
    assert counted.displayed == 10
    assert counted.dropped["capture"] >= counted.captured / 2
    assert max(ages) < 3 * SLOW_SECONDS, "a queue of frames would have grown to 8 times as much"


def test_a_login_is_used_and_not_shown(start_camera: Callable[..., Camera]) -> None:
    camera = start_camera("--login", "me:secret")
    source = open_source(camera.address("me:secret@"))
    assert len([frame for frame, _ in zip(source, range(3), strict=False)]) == 3
    source.close()
    assert source.source_id == f"rtsp://127.0.0.1:{camera.port}/…"
    with pytest.raises(SourceError, match="401 Unauthorized") as caught:
        open_source(camera.address("me:guessed@"))
    assert "guessed" not in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(signal.SIGKILL, "the sender ended the stream"), (signal.SIGSTOP, "nothing came for 1 s")],
    ids=["dies", "freezes"],
)
def test_when_the_camera_is_lost_the_run_ends_and_what_came_is_saved(
    ending: signal.Signals,
    reason: str,
    start_camera: Callable[..., Camera],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera, saved = start_camera(), tmp_path / "out.mp4"
    lost_at: list[float] = []

    def lose_the_camera(number: int) -> None:
        if number == 20:
            camera.process.send_signal(ending)
            lost_at.append(time.monotonic())

    use_fake_model(monkeypatch)
    monkeypatch.setattr(live, "READ_SECONDS", 1.0)
    monkeypatch.setattr(FakeTorchPredictor, "on_image", staticmethod(lose_the_camera))
    assert webcam.main(["--source", camera.address(), "--headless", "--retry", "never", "--save", str(saved)]) == 2
    assert time.monotonic() - lost_at[0] < 4
    told = capsys.readouterr().err.splitlines()
    assert told == ["connected 64x48 h264", f"error: lost {redact(camera.address())}: {reason}"]
    assert len(saved_pictures(saved)) >= 8


def test_a_wrong_path_or_port_is_one_line_within_seconds(
    start_camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake_model(monkeypatch)
    camera = start_camera()
    started = time.monotonic()
    wrong_path, wrong_port = camera.address(path="nothing"), "rtsp://me:secret@127.0.0.1:9/live"
    assert webcam.main(["--source", wrong_path, "--headless", "--retry", "never"]) == 2
    assert webcam.main(["--source", wrong_port, "--headless", "--retry", "never"]) == 2
    assert time.monotonic() - started < 5
    assert capsys.readouterr().err.splitlines() == [
        f"error: could not open {redact(wrong_path)}: the server has no such stream (404 Not Found)",
        "error: could not open rtsp://127.0.0.1:9/…: connection refused",
    ]


def test_the_sound_of_a_camera_is_recorded_beside_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)
    film, saved = write_sound_film(tmp_path / "film.mp4", seconds=5), tmp_path / "out.mkv"
    with rtsp_camera(film, "--sound") as camera:
        options = ["--source", camera.address(), "--headless", "--save", str(saved), "--max-frames", "70"]
        assert webcam.main(options) == 0
    with av.open(str(saved)) as container:
        pictures = [picture.time for picture in container.decode(video=0)]
    with av.open(str(saved)) as container:
        sound = list(container.decode(audio=0))
    assert len(pictures) >= 20
    assert sound[-1].time == pytest.approx(pictures[-1], abs=0.3)
    assert sum(frame.samples for frame in sound) / 48000 == pytest.approx(pictures[-1], abs=0.4)
    loudness = [float(np.sqrt((frame.to_ndarray()[0] ** 2).mean())) for frame in sound[5:-5]]
    assert np.median(loudness) == pytest.approx(0.3 / 2, rel=0.1), "FFmpeg gives each side of mono half of its power"
