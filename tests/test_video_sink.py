import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from app.sinks import encoder, mp4
from app.sinks.encoder import NVENC, X264, Encoder, find_encoder, works
from app.sinks.mp4 import Mp4Writer
from app.sinks.mp4_boxes import complete_boxes
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.stream_errors import SinkError
from tests.fake_instances import result_of
from tests.fake_media import grey, seconds_of

MILLISECONDS = Fraction(1, 1000)
ROOT = Path(__file__).parent.parent


def shade(level: int, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size_hw, 3), level, np.uint8)


def save(path: Path, ticks: Sequence[int], time_base: Fraction = MILLISECONDS, **options: object) -> None:
    """Write a picture for each of `ticks`, each a little lighter than the one before."""
    sink = VideoSink(path, **options)  # type: ignore[arg-type]
    for number, pts in enumerate(ticks):
        sink.write(result_of(shade(40 + 10 * number), pts=pts, time_base=time_base))
    sink.close()


def times(path: Path) -> list[Fraction]:
    """The timestamps in the file, in seconds."""
    with av.open(str(path)) as container:
        return [seconds_of(frame) for frame in container.decode(video=0)]


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def boxes(path: Path) -> list[str]:
    """The names of the outermost boxes of an MP4 file."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.mark.parametrize(
    ("ticks", "time_base"),
    [
        ([0, 512, 1024, 1536], Fraction(1, 12800)),
        ([0, 512, 700, 5000, 5001], Fraction(1, 12800)),
        ([450000, 453003, 456006], Fraction(1, 90000)),
        ([10, 11, 12, 20], Fraction(1001, 30000)),
        ([7, 8], Fraction(1, 1)),
        ([33, 66, 100], MILLISECONDS),
    ],
    ids=["constant", "variable", "late start", "ntsc", "slow", "milliseconds"],
)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "fragmented"])
def test_every_frame_keeps_its_own_timestamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticks: list[int], time_base: Fraction, finished: bool
) -> None:
    if not finished:
        monkeypatch.setattr(mp4, "_rewrite", lambda *_: None)
    save(tmp_path / "out.mp4", ticks, time_base)
    assert times(tmp_path / "out.mp4") == [tick * time_base for tick in ticks]


def test_the_last_frame_lasts_as_long_as_the_frame_rate_says(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [0, 40, 80], frame_rate=25.0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(120, 1000)


def test_a_live_source_can_start_at_zero(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [9_000_000, 9_000_040, 9_000_100], start_at_zero=True)
    assert times(tmp_path / "out.mp4") == [0, Fraction(40, 1000), Fraction(100, 1000)]


def test_a_clock_that_starts_before_zero_keeps_its_distances(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [-80, -40, 0, 100])
    assert [after - before for before, after in pairwise(times(tmp_path / "out.mp4"))] == [
        Fraction(40, 1000),
        Fraction(40, 1000),
        Fraction(100, 1000),
    ]


def test_repeated_and_backward_timestamps_lose_no_frame(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [0, 40, 40, 30, 80])
    assert times(tmp_path / "out.mp4") == [Fraction(tick, 1000) for tick in (0, 40, 41, 42, 80)]


def test_a_clock_that_starts_again_goes_on(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [0, 5000, 100, 140, 180], frame_rate=25.0)
    assert times(tmp_path / "out.mp4")[2:] == [Fraction(tick, 1000) for tick in (5001, 5080, 5120)]


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [0, 40, 80])
    assert boxes(tmp_path / "out.mp4")[:2] == ["ftyp", "moov"]  # the index comes before the pictures
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert [each.name for each in tmp_path.iterdir()] == ["out.mp4"]


def test_colours_survive(tmp_path: Path) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :32], picture[:, 32:64], picture[:, 64:] = (200, 40, 40), (40, 180, 60), (50, 60, 210)
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(result_of(picture))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1)  # BT.709, limited: what players expect of HD
        decoded = frame.to_ndarray(format="rgb24")
    for x in (16, 48, 80):
        assert np.abs(decoded[32, x].astype(int) - picture[32, x]).max() <= 6


@pytest.mark.parametrize("size_hw", [(1, 1), (47, 64), (48, 63), (121, 161)])
def test_an_odd_size_becomes_even_and_nothing_is_lost(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    picture = shade(60, size_hw)
    picture[-1, :] = picture[:, -1] = 220
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(result_of(picture))
    sink.close()
    (decoded,) = pictures(tmp_path / "out.mp4")
    assert decoded.shape == (height + height % 2, width + width % 2, 3)
    assert decoded[height - 1].mean() == pytest.approx(220, abs=15)
    assert decoded[-1, -1].mean() == pytest.approx(220, abs=15)


def test_a_frame_of_another_size_is_fitted_in(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    for pts, size_hw in enumerate([(64, 64), (64, 128), (300, 100), (1, 1)]):
        sink.write(result_of(shade(200, size_hw), pts=pts))
    sink.close()
    first, wide, tall, dot = pictures(tmp_path / "out.mp4")
    assert first.shape == wide.shape == tall.shape == dot.shape == (64, 64, 3)
    assert (wide[32].mean(), wide[4].mean()) == (pytest.approx(200, abs=8), pytest.approx(0, abs=8))
    assert (tall[:, 32].mean(), tall[:, 4].mean()) == (pytest.approx(200, abs=8), pytest.approx(0, abs=8))
    assert dot.mean() == pytest.approx(200, abs=8)


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "out.mp4").close()
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_until_the_first_picture(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("precious")
    VideoSink(path).close()
    assert path.read_text() == "precious"
    save(path, [0, 40])
    assert len(times(path)) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.avi", "written as .mp4"),
        ("out", "written as .mp4"),
        ("missing/out.mp4", "no folder"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError, match=message) as caught:
        VideoSink(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(SinkError, match="no permission"):
        VideoSink(tmp_path / "out.mp4")


def test_a_failure_of_the_encoder_is_told_in_one_line_and_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Mp4Writer, "add", fail)
    sink = VideoSink(tmp_path / "out.mp4")
    for pts in range(2):
        with pytest.raises(SinkError, match=r"out\.mp4: No space left on device\. .* stays playable"):
            sink.write(result_of(shade(0), pts=pts))
    sink.close()


def test_a_bug_in_the_encoder_keeps_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mp4Writer, "add", lambda *_: 1 / 0)
    sink = VideoSink(tmp_path / "out.mp4")
    with pytest.raises(ZeroDivisionError):
        sink.write(result_of(shade(0)))


def test_a_file_that_cannot_be_rewritten_stays_playable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    save(tmp_path / "out.mp4", [0, 40, 80])
    assert times(tmp_path / "out.mp4") == [0, Fraction(40, 1000), Fraction(80, 1000)]
    assert [each.name for each in tmp_path.iterdir()] == ["out.mp4"]


WRITE_NOISE = """
import sys
import numpy as np
from app.sinks.video_sink import VideoSink
from app.stream_errors import SinkError
from tests.fake_instances import result_of
from tests.fake_media import grey
random = np.random.default_rng(0)
sink = VideoSink(sys.argv[1], frame_rate=25)
try:
    for pts in range(int(sys.argv[2])):
        picture = random.integers(0, 255, (144, 176, 3), np.uint8)
        sink.write(result_of(picture, pts=pts))
        print(pts, flush=True)
    sink.close()
except SinkError as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.parametrize("missing_bytes", [1, 40, 30_000])
def test_a_disk_that_is_full_at_the_very_end_is_reported(tmp_path: Path, missing_bytes: int) -> None:
    path = tmp_path / "out.mp4"
    keep_fragments = "from app.sinks import mp4\nmp4._rewrite = print\n"
    subprocess.run([sys.executable, "-c", keep_fragments + WRITE_NOISE, path, "10"], cwd=ROOT, check=True, timeout=60)
    limit = path.stat().st_size - missing_bytes
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + WRITE_NOISE
    done = subprocess.run([sys.executable, "-c", limited, path, "10"], cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert b"its end could not be written; the disk may be full. What" in done.stderr
    assert len(times(path)) == 10 if missing_bytes < 1000 else 0 < len(times(path)) < 10


def test_a_full_disk_leaves_what_was_written_playable(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n" + WRITE_NOISE
    path = tmp_path / "out.mp4"
    done = subprocess.run(
        [sys.executable, "-c", limited, path, "1000"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr.startswith(f"could not write {path}: File too large.")
    assert done.stderr.count("\n") == 1
    assert times(path) == [Fraction(pts, 30) for pts in range(len(times(path)))]
    assert len(times(path)) > 20


def test_a_slow_stream_is_safe_on_the_disk_within_seconds(tmp_path: Path) -> None:
    writer = Mp4Writer(tmp_path / "out.mp4", (48, 64), Fraction(1, 1000), frame_rate=Fraction(30))
    for index in range(40):
        writer.add(shade(5 * index), pts=500 * index)
    assert len(times(tmp_path / "out.mp4")) >= 25
    writer.close()
    assert times(tmp_path / "out.mp4") == [Fraction(index, 2) for index in range(40)]


def test_a_killed_process_leaves_what_was_written_playable(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_NOISE, path, "100000"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) == 250:
            break
    time.sleep(0.2)
    writer.send_signal(signal.SIGKILL)
    writer.stdout.close()
    writer.wait()
    assert boxes(path)[:2] == ["ftyp", "moov"]
    kept = times(path)
    assert kept == [Fraction(pts, 30) for pts in range(len(kept))]
    assert len(kept) >= 150


def test_where_nvidias_encoder_does_not_work_x264_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works(X264, (64, 96))
    assert not works(Encoder("no_such_encoder", {}), (64, 96))
    assert not works(Encoder("libx264", {"preset": "no such preset"}), (64, 96))
    assert find_encoder((64, 96)) == (NVENC if works(NVENC, (64, 96)) else X264)
    monkeypatch.setattr(encoder, "NVENC", Encoder("no_such_encoder", {}))
    find_encoder.cache_clear()
    sink = VideoSink(tmp_path / "out.mp4", uses_gpu=True)
    sink.write(result_of(grey(90, (47, 63))))
    sink.close()
    find_encoder.cache_clear()
    assert sink.encoder == X264
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [picture.width for picture in container.decode(video=0)] == [64]


def test_boxes_of_more_than_four_gigabytes_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    size = 5 << 30
    with path.open("wb") as file:
        for name in (b"ftyp", b"moov"):
            file.write(struct.pack(">I4s", 8, name))
        file.write(struct.pack(">I4sQ", 1, b"mdat", size))
        file.truncate(16 + size)  # takes no room on the disk
    assert complete_boxes(path) == [(b"ftyp", 8), (b"moov", 16), (b"mdat", 16 + size)]
    os.truncate(path, 15 + size)
    assert [name for name, _ in complete_boxes(path)] == [b"ftyp", b"moov"]


def test_a_colon_in_a_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = VideoSink(Path("10:30.mp4"))
    sink.write(result_of(grey(90, (48, 64))))
    sink.close()
    assert sum(1 for _ in open_source("10:30.mp4")) == 1
