"""Which frames of a file are taken."""

from pathlib import Path

import pytest

from app.sources import open_source
from app.sources.demo import DemoSource
from app.sources.file_source import SelectedSource
from app.sources.pictures import PictureSource
from app.sources.selection import Selection
from app.sources.video import VideoSource
from tests.fake_media import grey, write_picture, write_video

SECONDS = [0.0, 0.1, 0.4, 0.5, 0.9, 1.5, 1.6, 2.0]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5, 6, 7]),
        (Selection(start_seconds=0.4, end_seconds=1.6), [2, 3, 4, 5]),
        (Selection(stride=3), [0, 3, 6]),
        (Selection(start_seconds=0.1, stride=3), [1, 4, 7]),
        (Selection(start_seconds=0.1, stride=3, after_index=1), [4, 7]),
        (Selection(stride=3, after_index=4), [6]),
        (Selection(start_seconds=3.0), []),
    ],
)
def test_a_stride_counts_from_the_start_also_after_an_interruption(selection: Selection, expected: list[int]) -> None:
    assert [index for index, _ in selection.choose(SECONDS, float)] == expected


def test_nothing_is_read_beyond_the_end() -> None:
    items = iter(SECONDS)
    assert [item for _, item in Selection(end_seconds=0.5).choose(items, float)] == [0.0, 0.1, 0.4]
    assert list(items) == [0.9, 1.5, 1.6, 2.0]


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"start_seconds": 2.0, "end_seconds": 2.0}])
def test_a_selection_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Selection(**wrong)  # type: ignore[arg-type]


def test_each_kind_of_file_gives_the_selected_frames_with_their_own_index(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", [grey(10 * i) for i in range(12)])
    shots = [write_picture(tmp_path / f"{i}.png", grey(10 * i)) for i in range(12)]
    video = open_source(str(clip))
    assert isinstance(video, VideoSource)
    for source, unit in ((video, 0.04), (PictureSource("shots", shots), 1.0), (DemoSource(), 1 / 30)):
        frames = list(SelectedSource(source, Selection(2.5 * unit, 9.5 * unit, stride=3)))
        assert [frame.index for frame in frames] == [3, 6, 9]
        assert [frame.pts_seconds for frame in frames] == pytest.approx([3 * unit, 6 * unit, 9 * unit])
        if not isinstance(source, DemoSource):
            assert [frame.image.mean() for frame in frames] == pytest.approx([30, 60, 90], abs=3)
