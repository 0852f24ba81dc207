"""Media files that ended in a traceback, or were blamed on the disk: each one is used as far as it can be."""

import ast
import errno
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from app import annotate
from app.sinks import mp4
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream_errors import DiskError, SinkError
from tests.fake_annotation import use_fake_model
from tests.fake_instances import result_of
from tests.fake_media import grey, write_video
from tests.test_video_sink import pictures, save, times

ROOT = Path(__file__).parent.parent
FRAMES = 10


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


def write_sound_film(path: Path, video_codec: str, audio_codec: str, layout: str = "stereo") -> Path:
    """Ten frames and half a second of sound."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(video_codec, rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        sound: Any = container.add_stream(audio_codec, rate=48000, layout=layout)
        for index in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(9 * index), format="rgb24")))
        channels = sound.codec_context.layout.nb_channels
        is_planar = sound.codec_context.format.is_planar
        kind = np.float32 if sound.codec_context.format.name.startswith("flt") else np.int16
        for block in range(20):
            shape = (channels, 1024) if is_planar else (1, 1024 * channels)
            samples = av.AudioFrame.from_ndarray(np.zeros(shape, kind), sound.codec_context.format.name, layout)
            samples.sample_rate, samples.pts, samples.time_base = 48000, 1024 * block, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def with_bytes(path: Path, old: bytes, new: bytes) -> Path:
    """Change `path`, whose length stays."""
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    return path


def with_title(path: Path, title: bytes) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "T" * len(title)
        video: Any = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        for index in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(9 * index), format="rgb24")))
        container.mux(video.encode(None))
    return with_bytes(path, b"T" * len(title), title)


def annotated(tmp_path: Path, *inputs: Path) -> int:
    return annotate.main([*map(str, inputs), "--video", "--out", str(tmp_path / "out")])


def audio_of(path: Path) -> list[tuple[str, int]]:
    """Codec and number of bytes of each audio stream."""
    with av.open(str(path)) as container:
        found = []
        for stream in container.streams.audio:
            count = sum(packet.size for packet in container.demux(stream))
            found.append((stream.codec_context.name, count))
            container.seek(0)
        return found


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_metadata_that_is_not_utf_8_is_no_trouble(tmp_path: Path, name: str) -> None:
    path = with_title(tmp_path / name, b"\xff\xfe\xe9\x80\xc0title")
    assert len(list(open_source(str(path)))) == FRAMES
    assert annotated(tmp_path, path) == 0


def test_every_file_is_opened_with_its_metadata_replaced() -> None:
    calls = [
        (path.name, call)
        for path in (ROOT / "app").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "av.open"
    ]
    assert len(calls) > 6
    own = {"encoder.py", "hardware.py", "screen.py"}  # they read what they wrote in memory, or a screen
    assert [
        f"{name}: {ast.unparse(call)}"
        for name, call in calls
        if '"w"' not in ast.unparse(call).replace("'", '"')
        and name not in own
        and not any(keyword.arg == "metadata_errors" for keyword in call.keywords)
    ] == []


@pytest.mark.parametrize(
    ("name", "old", "new"), [("a.mp4", b"avc1", b"zz9q"), ("a.mkv", b"V_MPEG4/ISO/AVC", b"V_QQQQ4/ISO/AVC")]
)
def test_a_video_codec_that_is_not_known_costs_one_input(
    tmp_path: Path, name: str, old: bytes, new: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [grey(9 * index) for index in range(FRAMES)]
    strange = with_bytes(write_video(tmp_path / name, images), old, new)
    assert annotated(tmp_path, strange, write_video(tmp_path / "clip.mp4", images)) == 1
    told = capsys.readouterr()
    assert "codec" in told.out
    assert "Traceback" not in told.err
    assert (tmp_path / "out/clip/annotated.mp4").exists()


def test_audio_in_a_codec_that_is_not_known_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = with_bytes(write_sound_film(tmp_path / "film.mkv", "libx264", "aac"), b"A_AAC", b"A_QQQ")
    assert annotated(tmp_path, film) == 0
    assert "done; audio in an unknown codec does not fit into an MP4" in capsys.readouterr().out
    assert audio_of(tmp_path / "out/film/annotated.mp4") == []
    assert len(times(tmp_path / "out/film/annotated.mp4")) == FRAMES


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize(
    ("name", "video_codec", "audio_codec"),
    [
        ("film.avi", "mpeg4", "pcm_s16le"),
        ("film.mkv", "libx264", "pcm_s16le"),
        ("film.mxf", "mpeg2video", "pcm_s16le"),
        ("film.mov", "libx264", "pcm_s16le"),
        ("film.mkv", "libx264", "aac"),
    ],
)
def test_sound_of_every_container_is_copied(
    tmp_path: Path, name: str, video_codec: str, audio_codec: str, layout: str
) -> None:
    film = write_sound_film(tmp_path / name, video_codec, audio_codec, layout)
    assert annotated(tmp_path, film) == 0
    saved = audio_of(tmp_path / "out/film/annotated.mp4")
    assert saved == audio_of(film)
    assert saved[0][1] > 100


def test_sound_that_cannot_be_copied_becomes_a_note_and_a_silent_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_sound_film(tmp_path / "film.mkv", "libx264", "aac")
    rewrite = mp4._rewrite

    def fail_with_sound(path: Path, audio: object, shift: float) -> None:
        if audio is not None:
            raise av.error.ArgumentError(errno.EINVAL, "Invalid argument")
        rewrite(path, None, shift)

    monkeypatch.setattr(mp4, "_rewrite", fail_with_sound)
    assert annotated(tmp_path, film) == 0
    assert "done; the audio could not be copied (Invalid argument)" in capsys.readouterr().out
    saved = (tmp_path / "out/film/annotated.mp4").read_bytes()
    assert saved.index(b"moov") < saved.index(b"mdat"), "and it plays before it is wholly loaded"
    assert b"moof" not in saved


def test_sound_whose_file_is_gone_becomes_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.sinks.audio import Audio

    audio = Audio(tmp_path / "gone.mp4")
    save(tmp_path / "out.mp4", [0, 40, 80], audio=audio)
    assert audio.left_out == ["the audio could not be read (No such file or directory)"]
    assert len(times(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 10**9)]
)
def test_a_clock_that_jumps_beyond_what_an_mp4_states_goes_on(tmp_path: Path, time_base: Fraction) -> None:
    for number, ticks in enumerate([[0, 5, 2**40, 2**40 + 5], [0, 5, 2**62, 2**62 + 5], [-(2**62), 0, 5]]):
        save(tmp_path / f"{number}.mp4", ticks, time_base, frame_rate=25.0)
        found = times(tmp_path / f"{number}.mp4")
        assert len(found) == len(ticks)
        assert found[-1] - found[-2] == 5 * time_base
        assert found[-1] < 1 + 6 * time_base


def test_a_late_clock_stays_late_as_far_as_an_mp4_can_state_it(tmp_path: Path) -> None:
    save(tmp_path / "late.mp4", [2**33, 2**33 + 40])
    assert times(tmp_path / "late.mp4") == [Fraction(2**33, 1000), Fraction(2**33 + 40, 1000)]
    save(tmp_path / "later.mp4", [2**62, 2**62 + 40])
    assert times(tmp_path / "later.mp4") == [0, Fraction(40, 1000)]


def test_a_picture_that_no_encoder_takes_is_scaled_down(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    wide = np.full((40, 20_000, 3), 200, np.uint8)
    sink.write(result_of(wide))
    sink.close()
    (saved,) = pictures(tmp_path / "out.mp4")
    assert saved.shape == (34, 16384, 3)
    assert saved[10, 100].mean() == pytest.approx(200, abs=8)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskError, "could not write .*choose another place"),
        (av.error.ArgumentError(errno.EINVAL, "Invalid argument"), SinkError, "could not encode .*: Invalid argument"),
    ],
)
def test_only_the_disks_errors_are_blamed_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[SinkError], told: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(mp4.Mp4Writer, "add", fail)
    with pytest.raises(SinkError, match=told) as caught:
        save(tmp_path / "out.mp4", [0, 40])
    assert type(caught.value) is kind


def test_an_encoder_that_fails_costs_one_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add: Callable[..., None] = mp4.Mp4Writer.add

    def fail_for_large(self: mp4.Mp4Writer, picture: np.ndarray, pts: int) -> None:
        if picture.shape[0] == 50:
            raise av.error.ExternalError(errno.EINVAL, "Generic error in an external library")
        add(self, picture, pts)

    monkeypatch.setattr(mp4.Mp4Writer, "add", fail_for_large)
    large = write_video(tmp_path / "large.mkv", [grey(9, (50, 70))] * 3)
    clip = write_video(tmp_path / "clip.mkv", [grey(9)] * 3)
    assert annotated(tmp_path, large, clip) == 1
    assert "failed: could not encode" in capsys.readouterr().out
    assert (tmp_path / "out/clip/annotated.mp4").exists()


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.mp4"
    for target in (tmp_path / "disk/new.mp4", tmp_path / "disk/new.mp4"):  # at first it leads to nothing
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        save(link, [0, 40, 80])
        assert link.is_symlink()
        assert len(times(target)) == 3
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "new.mp4", "out.mp4"]
