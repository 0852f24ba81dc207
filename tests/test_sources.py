import itertools
import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage
from PIL import Image

from app.sources import find_source, may_be_live, open_source
from app.sources.demo import DemoSource, camera_view
from app.stream_errors import SourceError
from tests.fake_media import frames_until_error, grey, write_picture, write_video


def test_a_video_gives_every_frame_in_order_with_its_own_timestamp(tmp_path: Path) -> None:
    pts_ms = [0, 40, 80, 300, 310, 320, 900, 940, 980, 1500]
    path = write_video(tmp_path / "vfr.mkv", [grey(20 * i) for i in range(10)], pts_ms)
    source = open_source(str(path))
    frames = list(source)
    assert [frame.pts_seconds for frame in frames] == pytest.approx([ms / 1000 for ms in pts_ms])
    assert [frame.index for frame in frames] == list(range(10))
    assert [int(frame.image.mean()) for frame in frames] == pytest.approx([20 * i for i in range(10)], abs=3)
    assert (source.is_live, source.frame_hw, source.source_id) == (False, (48, 64), str(path))
    assert frames[0].image.dtype == np.uint8
    assert frames[0].age_seconds() < 5


def test_a_video_is_shown_upright_as_its_display_matrix_says(tmp_path: Path) -> None:
    image = grey(0)
    image[:, :32] = 255  # the left half is bright
    source = open_source(str(write_video(tmp_path / "phone.mp4", [image] * 5, rotation=-90)))
    frame = next(iter(source))
    assert source.frame_hw == frame.image.shape[:2] == (64, 48)
    assert frame.image[:24].mean() > 200, "a quarter turn clockwise takes the left half to the top"
    assert frame.image[40:].mean() < 50


def test_a_video_that_was_cut_off_gives_what_can_be_read_and_then_says_where_it_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(50)]
    whole = write_video(tmp_path / "whole.mp4", images, options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    frames, message = frames_until_error(cut)
    assert 20 <= len(frames) <= 40
    assert f"{cut} is cut off at 1." in message
    assert "of 2.0 s; every frame that could be read was used" in message


def test_a_video_that_is_damaged_in_the_middle_goes_on_behind_the_damage(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_video(tmp_path / "video.mp4", [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(50)])
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[20:25]:
        assert position is not None
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    frames, message = frames_until_error(path)
    assert frames[-1].pts_seconds == pytest.approx(1.96)
    assert "is damaged at 0." in message or "is damaged at 1." in message


@pytest.mark.parametrize("content", [b"", b"this is no video at all" * 100])
def test_an_empty_or_unreadable_video_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"could not read .*broken\.mp4 as a video") as caught:
        open_source(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_with_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"sound.wav holds no video"):
        open_source(str(path))


def test_a_closed_video_ends_after_the_frame_that_is_being_read(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "video.mp4", [grey(0)] * 20)))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    source.close()


def test_a_folder_gives_its_pictures_in_natural_order_and_of_different_sizes(tmp_path: Path) -> None:
    for name, value, hw in (
        ("10.png", 100, (5, 7)),
        ("9.png", 90, (6, 4)),
        ("b.JPG", 200, (8, 8)),
        ("1.bmp", 10, (1, 1)),
    ):
        write_picture(tmp_path / name, grey(value, hw))
    (tmp_path / "notes.txt").write_text("not a picture")
    source = open_source(str(tmp_path))
    frames = list(source)
    assert [int(frame.image.mean()) for frame in frames] == [10, 90, 100, 200]
    assert [frame.image.shape for frame in frames] == [(1, 1, 3), (6, 4, 3), (5, 7, 3), (8, 8, 3)]
    assert [frame.pts_seconds for frame in frames] == [0, 1, 2, 3]
    assert (source.frame_count, source.frame_hw) == (4, (1, 1))


def test_one_unreadable_picture_is_named_and_does_not_lose_the_others(tmp_path: Path) -> None:
    for name in ("1.png", "3.png"):
        write_picture(tmp_path / name, grey(50))
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    frames, message = frames_until_error(tmp_path)
    assert [frame.index for frame in frames] == [0, 2]
    assert message == f"could not read {tmp_path / '2.png'} as a picture; the other 2 were used"


def test_a_folder_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no pictures in"):
        open_source(str(tmp_path))
    for index in range(5):
        (tmp_path / f"{index}.png").touch()
    with pytest.raises(SourceError, match=r"could not read .*0\.png, .*2\.png and 2 more as a picture"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((4, 6), 77, np.uint8), (77, 77, 77)),
        (np.full((4, 6), 77 << 8, np.uint16), (77, 77, 77)),
        (np.full((4, 6, 4), (10, 20, 30, 0), np.uint8), (30, 20, 10)),
        (np.full((4, 6, 3), (10 << 8, 20 << 8, 30 << 8), np.uint16), (30, 20, 10)),
    ],
    ids=["grey", "16-bit grey", "transparent", "16-bit colour"],
)
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, pixels: npt.NDArray[Any], expected: tuple[int, ...]) -> None:
    (frame,) = open_source(str(write_picture(tmp_path / "picture.png", pixels)))
    assert frame.image.shape == (4, 6, 3)
    assert frame.image.dtype == np.uint8
    assert tuple(frame.image[0, 0]) == expected


def test_a_photograph_is_turned_as_its_exif_note_says(tmp_path: Path) -> None:
    image = grey(0)
    image[:, :32] = 255
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    tiff = b"MM\x00*\x00\x00\x00\x08" + struct.pack(
        ">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0
    )  # orientation 6: turn clockwise
    exif = b"Exif\x00\x00" + tiff
    path = tmp_path / "phone.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    (frame,) = open_source(str(path))
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[:24].mean() > 200


def test_a_tiff_in_cielab_has_the_colours_that_pillow_and_skimage_see(tmp_path: Path) -> None:
    red, green = np.meshgrid(np.arange(0, 256, 8), np.arange(0, 256, 8))
    rgb = np.stack([red, green, np.full_like(red, 120)], axis=-1).astype(np.uint8)
    scaled = skimage.color.rgb2lab(rgb) * (2.55, 1, 1)  # L from 0 to 255, a and b with a sign
    Image.fromarray(scaled.round().astype(np.int16).astype(np.uint8), "LAB").save(tmp_path / "lab.tif")
    (frame,) = open_source(str(tmp_path / "lab.tif"))
    with Image.open(tmp_path / "lab.tif") as picture:
        np.testing.assert_array_equal(frame.image, np.asarray(picture.convert("RGB")))
    assert np.abs(frame.image.astype(int) - rgb).mean() < 5


def test_a_very_large_picture_is_read(tmp_path: Path) -> None:
    (frame,) = open_source(str(write_picture(tmp_path / "large.png", np.zeros((8000, 8000), np.uint8))))
    assert frame.image.shape == (8000, 8000, 3)


@pytest.mark.parametrize("spec", ["nowhere.mp4", "", "12345", "x:/y"])
def test_what_names_nothing_is_refused_before_anything_is_opened(spec: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        find_source(spec)


def test_the_demo_is_a_moving_picture_of_ten_seconds_that_ends_where_it_began() -> None:
    source = DemoSource()
    frames = list(itertools.islice(source, 40))
    assert [frame.pts for frame in frames] == list(range(40))
    assert (source.frame_count, source.frame_rate) == (300, 30.0)
    assert frames[0].image.shape == (720, 1280, 3)
    assert np.array_equal(frames[0].image, frames[30].image), "the camera stands still for the first second"
    assert not np.array_equal(frames[30].image, frames[39].image)
    assert np.array_equal(camera_view(0.0), camera_view(10.0))


def test_the_demo_can_be_stopped() -> None:
    source = DemoSource()
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize("spec", ["", "/*.mkv"], ids=["folder", "pattern"])
def test_videos_of_a_folder_follow_one_another_on_one_clock(tmp_path: Path, spec: str) -> None:
    for name, value in (("10.mkv", 200), ("9.mkv", 100)):
        write_video(tmp_path / name, [grey(value)] * 5)
    frames = list(open_source(f"{tmp_path}{spec}"))
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [100] * 5 + [200] * 5
    assert [frame.pts_seconds for frame in frames] == pytest.approx([i / 25 for i in range(10)], abs=0.001)
    assert [frame.index for frame in frames] == list(range(10))


def test_a_pattern_that_matches_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no video and no picture matches .*\*.mp4"):
        open_source(f"{tmp_path}/*.mp4")


def test_a_folder_of_videos_and_a_pattern_are_no_live_sources(tmp_path: Path) -> None:
    assert not may_be_live(str(tmp_path))
    assert not may_be_live("clips/*.mp4")
    assert may_be_live("rtsp://camera/live?channel=1")
