"""Stretches of a video against the whole of it: no picture lost or twice at the seams, and each the same."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from app.sources.packet_index import PacketIndex, read_packet_index
from app.sources.stretch_decoding import InexactError, decode_stretch
from app.sources.video import open_video
from tests.fake_media import Image

FRAMES = 48
CLIPS = {
    "closed.mp4": ("libx264", {"g": "12", "bf": "3"}),
    "open.mp4": ("libx264", {"x264-params": "keyint=12:bframes=3:open-gop=1:scenecut=0:b-adapt=0"}),
    "open.mkv": ("libx264", {"x264-params": "keyint=12:bframes=3:open-gop=1:scenecut=0:b-adapt=0"}),
    "open.ts": ("libx264", {"x264-params": "keyint=12:bframes=3:open-gop=1:scenecut=0:b-adapt=0"}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=12:bframes=3:open-gop=1:scenecut=0:log-level=none"}),
    "pyramid.mkv": ("libx264", {"x264-params": "keyint=20:bframes=5:b-pyramid=strict:b-adapt=0"}),
    "one_key_frame.mp4": ("libx264", {"g": "1000", "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "12", "bf": "2"}),
    "mpeg4.mp4": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "12"}),
    "vp9.webm": ("libvpx-vp9", {"g": "12", "deadline": "realtime", "lag-in-frames": "8", "auto-alt-ref": "1"}),
    "motion.mkv": ("mjpeg", {}),
}


def moving(index: int) -> Image:
    """Return a picture that no other one equals."""
    rows, columns = np.indices((48, 64))
    colours = np.stack([rows * 5 + 7 * index, columns * 4 - 3 * index, rows * columns // 16 + index], -1)
    return np.asarray(colours % 256, np.uint8)


def write_clip(path: Path, codec: str, options: dict[str, str], pts_ms: list[int] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = 48, 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(moving(index), format="rgb24")
            if pts_ms is not None:
                stream.codec_context.time_base = picture.time_base = Fraction(1, 1000)
                picture.pts = pts_ms[index]
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def indexed(path: Path) -> PacketIndex:
    index = read_packet_index(path)
    assert index is not None, "the packets do not tell which pictures there are"
    return index


def stretch_of(path: Path, index: PacketIndex, first: int, last: int) -> list[tuple[int, bytes]]:
    wanted = index.shown()[first : last + 1].tolist()
    decode = partial(decode_stretch, index.stretch(first, last, wanted))
    return [(frame.pts, frame.image.tobytes()) for frame in open_video(path, decode=decode)]


def whole(path: Path) -> list[tuple[int, bytes]]:
    return [(frame.pts, frame.image.tobytes()) for frame in open_video(path)]


@pytest.mark.parametrize("name", CLIPS)
def test_every_picture_of_every_stretch_is_that_of_the_whole_file(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, *CLIPS[name])
    expected, index = whole(path), indexed(path)
    assert len(expected) == FRAMES
    assert [pts for pts, _ in expected] == index.shown().tolist()
    for first in range(FRAMES):
        last = min(first + 6, FRAMES - 1)
        assert stretch_of(path, index, first, last) == expected[first : last + 1], (first, last)


def test_times_that_are_uneven_make_no_difference(tmp_path: Path) -> None:
    pts = [40 * i + (i * 7) % 31 for i in range(FRAMES)]
    path = write_clip(tmp_path / "uneven.mp4", "libx264", {"g": "10", "bf": "3"}, pts)
    expected, index = whole(path), indexed(path)
    for cut in (1, 9, 10, 11, 30, 47):
        parts = stretch_of(path, index, 0, cut - 1) + stretch_of(path, index, cut, FRAMES - 1)
        assert parts == expected, cut


def test_decoding_begins_at_the_key_frame_before_and_no_earlier(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "closed.mp4", *CLIPS["closed.mp4"])
    index = indexed(path)
    key_frames = index.pts[index.is_key].tolist()
    assert len(key_frames) > 3
    for first, pts in enumerate(index.shown().tolist()):
        assert index.stretch(first, first, []).packets[0][0] == max(key for key in key_frames if key <= pts)
    assert index.stretch(0, 3, []).is_start


def test_pictures_before_the_key_frame_of_an_open_gop_are_decoded_from_the_one_before(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "open.mkv", *CLIPS["open.mkv"])
    index = indexed(path)
    key_frames = index.pts[index.is_key].tolist()
    leading = [
        pts
        for place, pts in enumerate(index.pts.tolist())
        if pts < max(key for key in index.pts[: place + 1].tolist() if key in key_frames)
    ]
    assert leading, "this clip has no open GOP"
    for pts in leading:
        first = index.shown().tolist().index(pts)
        assert index.stretch(first, first, []).packets[0][0] < pts


def test_a_damaged_or_truncated_file_has_no_index(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "open.mkv", *CLIPS["open.mkv"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read_packet_index(path) is None
    (tmp_path / "text.mp4").write_text("no video")
    assert read_packet_index(tmp_path / "text.mp4") is None
    assert read_packet_index(tmp_path / "missing.mp4") is None


def test_a_file_without_timestamps_has_no_index(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "raw.h264", "libx264", {"g": "12", "bf": "3"})
    assert read_packet_index(path) is None


def test_a_stretch_of_another_file_is_refused(tmp_path: Path) -> None:
    index = indexed(write_clip(tmp_path / "one.mp4", "libx264", {"g": "12", "bf": "3"}))
    other = write_clip(tmp_path / "other.mp4", "libx264", {"g": "9", "bf": "1", "qp": "40"})
    with pytest.raises(InexactError):
        stretch_of(other, index, 20, 25)


def test_a_picture_that_cannot_be_decoded_is_noticed(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "closed.mp4", *CLIPS["closed.mp4"])
    index = indexed(path)
    with av.open(str(path)) as container:
        begin, size = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.is_keyframe][2]
    content = bytearray(path.read_bytes())
    content[begin + 8 : begin + size] = bytes(size - 8)
    path.write_bytes(content)
    damaged = read_packet_index(path)
    assert damaged is not None
    assert damaged.pts.tolist() == index.pts.tolist(), "only a picture was to be damaged, not the container"
    with pytest.raises(InexactError):
        stretch_of(path, index, 0, FRAMES - 1)
