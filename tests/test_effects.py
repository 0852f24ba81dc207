"""Effects: what is hidden stays hidden, and what is kept stays as it is."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.drawing.effects import EffectError, apply_effects, load_background
from app.drawing.renderer import Renderer
from app.processors.mask_hold import MaskHold
from app.stream.controls import ControlPanel, Controls
from app.stream.effect import HIDE_SCORE, Effect, parse_effect
from app.stream.frames import Hidden, Picture, Result
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop
from tests.fake_instances import rectangles, result_of
from tests.fake_media import write_picture
from tests.fake_stream import FakePredictor, FakeSink, FakeSource

HW = (120, 160)
NAMES = ("person", "cat")
PERSON, CAT = (20, 30, 60, 90), (100, 30, 140, 90)


def noise() -> Picture:
    return np.random.default_rng(0).integers(0, 255, (*HW, 3), np.uint8)


def applied(spec: str, result: Result) -> Picture:
    picture = result.frame.image.copy()
    apply_effects(picture, result, [parse_effect(spec)], NAMES)
    return picture


def both() -> Result:
    return searched(rectangles(HW, [PERSON, CAT], [0, 1]))


def searched(instances: Instances) -> Result:
    """A result in whose frame everything that may have to be hidden was looked for."""
    return replace(result_of(noise(), instances), hidden=Hidden(instances, None))


@pytest.mark.parametrize("kind", ["blur", "pixelate", "fill"])
def test_what_is_hidden_is_hidden_beyond_its_edge_and_the_rest_stays(kind: str) -> None:
    result = both()
    picture, image = applied(f"{kind}:person", result), result.frame.image
    same = (picture == image).all(2)
    assert same[28:92, 18:62].mean() < 0.01
    assert same[:, 70:].all()
    assert same[:, :10].all()
    inside = picture[30:90, 20:60].astype(int)
    assert np.abs(np.diff(inside, axis=1)).mean() < 20, "the noise of the picture can still be seen"


def test_holes_of_a_mask_are_closed() -> None:
    mask = np.ones((60, 80), np.bool_)
    mask[15:45, 15:65] = False
    instances = Instances.from_crops([MaskCrop(30, 30, mask)], [0.9], [0], HW)
    picture = applied("fill:person", searched(instances))
    assert len(np.unique(picture[30:90, 30:110].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("spec", ["background-blur:person", "cut-out:person", "background:{picture}"])
def test_what_is_kept_stays_and_the_background_changes(spec: str, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "wall.png", np.full((40, 300, 3), 7, np.uint8))
    result = result_of(noise(), rectangles(HW, [PERSON], [0]))
    changed = applied(spec.replace("{picture}", str(picture)), result)
    assert (changed[35:85, 25:55] == result.frame.image[35:85, 25:55]).all()
    assert (changed[:, 70:] != result.frame.image[:, 70:]).any(2).mean() > 0.9


@pytest.mark.parametrize("text", ["blur", "person", "fill:", "background", "smoke:person", "blur:+"])
def test_an_effect_that_does_not_exist_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be blur:CLASS, pixelate:CLASS.*got"):
        parse_effect(text)


def test_a_background_that_is_no_picture_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wall.png").write_text("no picture")
    for path in (tmp_path / "wall.png", tmp_path / "missing.png"):
        with pytest.raises(EffectError, match="the background must be a picture"):
            load_background(path)


def hidden_at(hiding: MaskHold, seconds: float, *boxes: tuple[int, int, int, int]) -> list[tuple[int, ...]]:
    result = result_of(noise(), pts=round(seconds * 30), time_base=Fraction(1, 30))
    hidden = Hidden(rectangles(HW, boxes, [0] * len(boxes)), None)
    result = hiding(replace(result, hidden=hidden))
    assert result.hidden is not None
    return [crop.box for crop in result.hidden.instances.crops]


def test_a_mask_is_held_for_a_second_after_a_miss() -> None:
    hiding = MaskHold()
    assert hidden_at(hiding, 0, PERSON) == [PERSON]
    assert hidden_at(hiding, 0.1) == [PERSON]
    assert hidden_at(hiding, 1.0) == [PERSON]
    assert hidden_at(hiding, 1.1) == []


def test_a_mask_that_is_found_again_is_held_no_more_and_one_that_shrinks_is() -> None:
    hiding = MaskHold()
    hidden_at(hiding, 0, PERSON)
    moved = (22, 30, 62, 90)
    assert hidden_at(hiding, 0.1, moved) == [moved]
    half = (22, 30, 62, 60)
    assert hidden_at(hiding, 0.2, half) == [moved, half]


def test_less_certain_instances_and_unwanted_classes_are_hidden_from_the_first_frame_on() -> None:
    """Nobody shows the person, whose score is below the threshold; the recording must hide it all the same."""

    def find(image: Picture) -> Instances:
        return Instances.from_crops([MaskCrop(10, 10, np.ones((50, 50), np.bool_))], [HIDE_SCORE + 0.05], [0], HW)

    pictures: list[Picture] = []
    results: list[Result] = []

    def keep(result: Result) -> None:
        pictures.append(result.picture)
        results.append(result)

    panel = ControlPanel(Controls(0.5, frozenset({"cat"}), effects=(Effect("fill", frozenset({"person"})),)))
    renderer = Renderer(NAMES)
    lane = Lane(
        FakeSource(3, frame_hw=HW),
        [FakeSink(on_write=keep)],
        [MaskHold()],
        draw=lambda result: renderer.draw(result, panel.current),
        panel=panel,
    )
    predictor = FakePredictor(find=find)
    Stream([lane], predictor).run()
    assert [threshold for threshold, _ in predictor.asked] == [HIDE_SCORE] * 3
    assert [len(result.instances) for result in results] == [0, 0, 0]
    for index, picture in enumerate(pictures):
        assert (picture[10:60, 10:60] != index).all()
        assert (picture[100:, 100:] == index).all()


def test_nothing_more_is_asked_for_without_an_effect_that_hides() -> None:
    controls = Controls(0.5, frozenset({"cat"}), effects=(Effect("cut-out"),))
    assert (controls.search_threshold, controls.search_classes) == (0.5, frozenset({"cat"}))


def test_a_picture_is_drawn_with_its_effect_by_the_renderer() -> None:
    result = both()
    picture = Renderer(NAMES).draw(
        result, Controls(show_masks=False, show_labels=False, effects=(Effect("fill", frozenset({"cat"})),))
    )
    assert cv2.countNonZero(cv2.absdiff(picture, result.frame.image)[:, :, 0][:, :90]) == 0
    assert (picture[30:90, 100:140] == picture[60, 120]).all()
