"""What can be read of a damaged file is given, and its damage told, whatever the container."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from app.sources import open_source
from app.sources import video as video_source
from app.sources.decoding import every_picture
from app.stream.frames import Frame
from tests.fake_media import Image, frames_until_error, write_video

FRAMES = 50
HW = (48, 64)


def noise() -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*HW, 3), np.uint8) for _ in range(FRAMES)]


def write_as(path: Path, container_format: str | None = None, codec: str = "mpeg4", **options: str) -> Path:
    """Two seconds of noise at 25 frames per second, a key frame every 12."""
    with av.open(str(path), "w", container_format, options=options) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"qmin": "5", "qmax": "5"})
        stream.height, stream.width = HW
        stream.pix_fmt = "yuv420p"
        for index, image in enumerate(noise()):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


CONTAINERS = {
    "video.avi": {},
    "video.flv": {"codec": "flv"},
    "video.mkv": {},
    "video.mpg": {"codec": "mpeg2video"},
    "video.mxf": {"codec": "mpeg2video"},
    "video.ts": {"codec": "mpeg2video"},
    "video.wmv": {"codec": "wmv2"},
    "front.mp4": {"movflags": "faststart"},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
}


def frames_of(path: Path) -> list[Frame]:
    return list(open_source(str(path)))


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_whole_file_is_not_taken_for_a_cut_one(name: str, tmp_path: Path) -> None:
    assert len(frames_of(write_as(tmp_path / name, **CONTAINERS[name]))) == FRAMES


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_number_of_frames_is_known_to_whoever_shows_progress(name: str, tmp_path: Path) -> None:
    count = open_source(str(write_as(tmp_path / name, **CONTAINERS[name]))).frame_count
    assert count == pytest.approx(FRAMES, abs=1)


def test_a_late_beginning_does_not_count_as_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", noise(), [60_000 + 40 * index for index in range(FRAMES)])
    assert open_source(str(path)).frame_count == pytest.approx(FRAMES, abs=1)


@pytest.mark.parametrize("share", [0.4, 0.55, 0.7])
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_that_was_cut_off_is_told_in_every_container(name: str, share: float, tmp_path: Path) -> None:
    path = write_as(tmp_path / name, **CONTAINERS[name])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    frames, message = frames_until_error(path)
    assert FRAMES * (share - 0.15) < len(frames) < FRAMES * (share + 0.1)
    assert message.startswith(f"{path} is cut off at ")
    assert message.endswith(" s; every frame that could be read was used")


def test_an_avi_with_uneven_timestamps_is_not_taken_for_a_cut_one(tmp_path: Path) -> None:
    pts_ms = [40 * index + index * 7 % 31 for index in range(FRAMES)]
    assert len(frames_of(write_video(tmp_path / "vfr.avi", noise(), pts_ms))) == FRAMES


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_a_damaged_end_costs_no_frame_but_its_own_on_any_number_of_cores(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder with several frames in flight drops those beside the damaged one at the end, and says nothing."""
    path = write_video(tmp_path / "video.mp4", noise())
    overwrite(path, FRAMES - 1)
    monkeypatch.setattr(video_source, "every_picture", limited_to(threads))
    frames, message = frames_until_error(path)
    assert [frame.index for frame in frames] == list(range(FRAMES - 1))
    assert len({frame.pts for frame in frames}) == FRAMES - 1
    assert message == f"{path} is damaged at 2.0 s; every frame that could be read was used"


def test_damage_in_the_middle_and_a_cut_end_are_both_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", noise(), options={"movflags": "faststart"})
    overwrite(path, 12)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    _, message = frames_until_error(path)
    assert " is damaged at " in message
    assert " and is cut off at 1." in message
    assert " of 2.0 s; every frame" in message


def overwrite(path: Path, *numbers: int) -> None:
    """Put zeros in the place of these packets."""
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in (packets[number] for number in numbers):
        content[position : position + size] = bytes(size)
    path.write_bytes(content)


def limited_to(threads: int) -> video_source.Decode:
    """Decode every picture in so many threads."""

    def decode(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Iterator[av.VideoFrame]:
        stream.codec_context.thread_count = threads
        return every_picture(container, stream, name)

    return decode
