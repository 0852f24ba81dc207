"""From pictures to instances with a network made from a seed."""

from typing import Any

import numpy as np
import pytest

from solov2 import VARIANTS, DecodeConfig, Instances, SOLOv2
from tests.made_nano import made_nano
from tests.parity.recipe import make_picture

LANDSCAPE = make_picture(60, 96, 1)
PORTRAIT = make_picture(96, 60, 2)
LARGE = make_picture(200, 320, 3)


@pytest.fixture(scope="module")
def model() -> SOLOv2:
    """A nano whose random weights find something everywhere."""
    return made_nano()


def assert_same(actual: Instances, expected: Instances) -> None:
    """Alike but for rounding, which moves a pixel on the threshold, and with it a score, past its neighbour."""
    assert actual.image_hw == expected.image_hw
    np.testing.assert_allclose(actual.scores, expected.scores, atol=1e-3)
    np.testing.assert_array_equal(np.sort(actual.labels), np.sort(expected.labels))
    assert (actual.masks != expected.masks).mean() < 0.02


def test_one_picture_gives_its_instances(model: SOLOv2) -> None:
    found = model.predict(LANDSCAPE)
    assert isinstance(found, Instances)
    assert 1 < len(found) <= 100
    assert found.masks.shape == (len(found), 60, 96)
    assert found.masks.dtype == np.bool_
    assert found.boxes.shape == (len(found), 4)
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= 0.05).all()
    assert set(found.labels) <= set(range(80))


def test_several_pictures_of_any_sizes_give_what_each_gives_alone(model: SOLOv2) -> None:
    images = [LANDSCAPE, PORTRAIT, LARGE, LANDSCAPE[::-1]]
    together = model.predict(images)
    assert isinstance(together, list)
    assert len(together) == 4
    for found, image in zip(together, images, strict=True):
        assert_same(found, model.predict(image))


def test_a_tuple_is_several_pictures_and_no_pictures_give_an_empty_list(model: SOLOv2) -> None:
    (found,) = model.predict((PORTRAIT,))
    assert_same(found, model.predict(PORTRAIT))
    assert model.predict([]) == []


def test_thresholds_are_taken_from_the_config(model: SOLOv2) -> None:
    everything = model.predict(LANDSCAPE)
    threshold = float(everything.scores[1]) - 1e-4
    few = model.predict(LANDSCAPE, DecodeConfig(final_score_threshold=threshold))
    assert_same(few, everything.select(everything.scores >= threshold))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (3, 500)])
def test_the_smallest_and_flattest_pictures_are_segmented(model: SOLOv2, size_hw: tuple[int, int]) -> None:
    found = model.predict(make_picture(*size_hw, 4))
    assert found.masks.shape == (len(found), *size_hw)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((20, 30), np.uint8), r"uint8 array of shape \(20, 30\)"),
        (np.zeros((20, 30, 4), np.uint8), r"uint8 array of shape \(20, 30, 4\)"),
        (np.zeros((20, 30, 3), np.float32), r"float32 array of shape \(20, 30, 3\)"),
        (np.zeros((2, 20, 30, 3), np.uint8), r"uint8 array of shape \(2, 20, 30, 3\)"),
        ((image for image in [LANDSCAPE]), "generator"),
        ("cat.jpg", "str"),
    ],
)
@pytest.mark.parametrize("in_a_list", [False, True], ids=["alone", "in a list"])
def test_what_is_no_rgb_picture_is_refused(model: SOLOv2, image: Any, got: str, in_a_list: bool) -> None:
    with pytest.raises(ValueError, match=rf"^image must be a \(H, W, 3\) uint8 RGB array, got {got}$"):
        model.predict([LANDSCAPE, image] if in_a_list else image)


def test_class_names_are_the_variants_unless_others_are_given() -> None:
    assert SOLOv2(VARIANTS["nano"]).class_names[:2] == ("person", "bicycle")
    model = SOLOv2(VARIANTS["nano"], ["square", "bar", "disc"])
    assert model.class_names == ("square", "bar", "disc")
    branches: Any = model.mask_head.branches
    assert [branch.conv_cls.out_channels for branch in branches] == [3] * 4


@pytest.mark.cuda
def test_cuda_finds_what_the_cpu_finds(model: SOLOv2) -> None:
    expected = model.predict(LARGE)
    actual = made_nano().to("cuda").predict(LARGE)
    assert abs(len(actual) - len(expected)) <= 1
    np.testing.assert_allclose(actual.scores[:5], expected.scores[:5], atol=1e-2)
