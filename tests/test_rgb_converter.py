"""From decoded pictures to RGB: once, when asked, by one converter for each stream."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from app.sources import open_source, rgb_converter
from app.sources.rgb_converter import RgbConverter, upright_hw
from app.stream.frames import Frame, Result
from app.stream.lazy import Lazy, Once
from tests.fake_instances import result_of
from tests.fake_media import Image, grey, write_video


def colours(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.mark.parametrize("rotation", [None, 90.0, 180.0, 270.0])
def test_a_picture_is_that_of_pyav_turned_as_its_display_matrix_says(tmp_path: Path, rotation: float | None) -> None:
    clip = write_video(tmp_path / "clip.mp4", [colours(seed) for seed in range(3)], rotation=rotation)
    converter = RgbConverter()
    with av.open(str(clip)) as container:
        for picture in container.decode(video=0):
            expected = np.rot90(picture.to_ndarray(format="rgb24"), picture.rotation // 90)
            np.testing.assert_array_equal(converter.upright_rgb(picture), expected)
            assert upright_hw(picture) == expected.shape[:2]
    source = open_source(str(clip))
    assert [frame.image.shape[:2] for frame in source] == [source.frame_hw] * 3


def test_a_stream_has_one_converter_and_a_frame_is_converted_once_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def make() -> object:
        made.append(VideoReformatter())
        return made[-1]

    converted: list[object] = []
    upright_rgb = RgbConverter.upright_rgb

    def convert(self: RgbConverter, picture: av.VideoFrame) -> Image:
        converted.append(picture)
        return upright_rgb(self, picture)

    monkeypatch.setattr(rgb_converter, "VideoReformatter", make)
    monkeypatch.setattr(RgbConverter, "upright_rgb", convert)
    frames = list(open_source(str(write_video(tmp_path / "clip.mp4", [grey(20 * i) for i in range(10)]))))
    assert (len(made), len(converted)) == (1, 0)
    images = [frame.image for frame in frames[::2] for _ in range(3)]
    assert (len(made), len(converted)) == (1, 5)
    assert len({id(image) for image in images}) == 5


def test_threads_may_convert_the_frames_of_one_stream_at_the_same_time(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [grey(8 * i) for i in range(30)])
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda frame: frame.image, list(open_source(str(clip)))))
    assert [round(float(image.mean()) / 8) for image in images] == list(range(30))


def test_a_lazy_value_is_computed_once_by_whoever_comes_first_and_lets_go_of_what_it_was_made_from() -> None:
    started, may_end = threading.Event(), threading.Event()
    calls: list[str] = []

    def compute() -> str:
        started.set()
        may_end.wait(20)
        calls.append(threading.current_thread().name)
        return "value"

    lazy = Lazy(compute)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lazy.get)
        assert started.wait(20)
        second = pool.submit(lazy.get)
        may_end.set()
        assert first.result() == second.result() == "value"
    assert len(calls) == 1
    assert lazy._compute is None


def test_an_error_is_told_to_everybody_who_asks() -> None:
    lazy: Lazy[int] = Lazy(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy.get()
    assert Once[int]().get(lambda: 7) == 7


def test_a_result_without_a_way_to_draw_it_shows_its_frame() -> None:
    result = result_of(grey(7))
    assert result.picture is result.frame.image
    drawn: list[Result] = []

    def draw(result: Result) -> Image:
        drawn.append(result)
        return grey(9)

    own = result_of(grey(7), draw=draw)
    assert (own.picture[0, 0, 0], own.picture[0, 0, 0], len(drawn)) == (9, 9, 1)
    own.redraw()
    assert len(drawn) == 2


def test_a_frame_takes_pixels_as_they_are_too() -> None:
    frame = result_of(grey(7)).frame
    assert isinstance(frame, Frame)
    assert frame.image is frame.pixels
