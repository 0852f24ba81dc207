"""`python -m app.annotate --video --effect`: no frame of the video shows what is hidden."""

from pathlib import Path

import av
import numpy as np
import pytest

from app import annotate
from app.drawing.effects import COVER
from tests.fake_annotation import FakeTorchPredictor, use_fake_model
from tests.fake_media import grey, write_video

CAT = (slice(3, 10), slice(41, 48))  # where every other picture has a cat, whose score is 0.5
FRAMES = 12


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(FRAMES)], [40 * i for i in range(FRAMES)])


def annotated(out: Path, *arguments: object) -> int:
    return annotate.main([*map(str, arguments), "--out", str(out)])


def covered(folder: Path) -> list[bool]:
    """Whether the cat's place is covered, frame by frame."""
    with av.open(str(folder / "annotated.mp4")) as container:
        pictures = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    return [bool(np.abs(picture[CAT].astype(int).mean((0, 1)) - COVER).max() < 12) for picture in pictures]


def test_what_is_too_uncertain_to_be_recorded_is_hidden_from_the_first_frame_on(clip: Path, tmp_path: Path) -> None:
    assert annotated(tmp_path / "out", clip, "--score", "0.7", "--video", "--effect", "fill:cat") == 0
    assert covered(tmp_path / "out/clip") == [True] * FRAMES
    assert '"category": "cat"' not in (tmp_path / "out/clip/instances.jsonl").read_text()


def test_a_video_that_was_recorded_before_is_searched_again_for_what_is_hidden(clip: Path, tmp_path: Path) -> None:
    assert annotated(tmp_path / "out", clip, "--score", "0.7") == 0
    lines = (tmp_path / "out/clip/instances.jsonl").read_bytes()
    assert annotated(tmp_path / "out", clip, "--score", "0.7", "--video", "--effect", "fill:cat") == 0
    assert covered(tmp_path / "out/clip") == [True] * FRAMES
    assert (tmp_path / "out/clip/instances.jsonl").read_bytes() == lines


def test_a_video_without_the_effect_is_drawn_again_and_one_with_it_is_not(clip: Path, tmp_path: Path) -> None:
    assert annotated(tmp_path / "out", clip, "--video") == 0
    assert not all(covered(tmp_path / "out/clip"))
    for _ in range(2):
        FakeTorchPredictor.batches.clear()
        assert annotated(tmp_path / "out", clip, "--video", "--effect", "fill:cat") == 0
        assert covered(tmp_path / "out/clip") == [True] * FRAMES
    assert FakeTorchPredictor.batches == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--video", "--effect", "fill:cow"], "unknown class 'cow'"),
        (["--video", "--effect", "background:nowhere.png"], "the background must be a picture, got nowhere.png"),
        (["--ray", "local", "--video", "--effect", "fill:cat"], "--effect works on this machine only: leave out --ray"),
        (["--effect", "fill:cat"], "--effect changes the annotated video: add --video"),
    ],
)
def test_a_wrong_effect_is_one_line(
    clip: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotated(tmp_path / "out", clip, *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
