"""From a picture to the network's input, and the way back."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.decoding.geometry import Geometry, check_image, find_axis, pad_to_multiple, preprocess
from solov2.variants import PIXEL_MEAN, PIXEL_STD

CPU = torch.device("cpu")
MEAN, STD = np.array(PIXEL_MEAN, np.float32), np.array(PIXEL_STD, np.float32)


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image_hw", "limits", "resized_hw", "padded_hw"),
    [
        ((480, 640), (1333, 800), (800, 1067), (800, 1088)),
        ((640, 480), (1333, 800), (1067, 800), (1088, 800)),
        ((1080, 1920), (768, 448), (432, 768), (448, 768)),
        ((300, 400), (768, 448), (448, 597), (448, 608)),
        ((256, 384), (384, 256), (256, 384), (256, 384)),
        ((1, 1), (384, 256), (256, 256), (256, 256)),
        ((3, 2000), (384, 256), (1, 384), (32, 384)),
        ((8000, 8000), (384, 256), (256, 256), (256, 256)),
        ((1, 100_000), (384, 256), (1, 384), (32, 384)),
    ],
)
def test_a_picture_is_fitted_by_its_longer_need_and_padded_to_32(
    image_hw: tuple[int, int], limits: tuple[int, int], resized_hw: tuple[int, int], padded_hw: tuple[int, int]
) -> None:
    geometry = Geometry.fit(image_hw, *limits)
    assert geometry == Geometry(image_hw, resized_hw, padded_hw)
    assert geometry.mask_hw == (padded_hw[0] // 4, padded_hw[1] // 4)


@pytest.mark.parametrize(("side", "padded"), [(1, 32), (31, 32), (32, 32), (33, 64), (800, 800)])
def test_padding_is_the_least_that_reaches_a_multiple(side: int, padded: int) -> None:
    assert pad_to_multiple(side) == padded


def test_the_input_is_resized_by_opencv_normalised_and_padded_with_zeros() -> None:
    image, geometry = noise(50, 70), Geometry((50, 70), (40, 56), (64, 64))
    pixels = preprocess(image, geometry, CPU)
    assert pixels.shape == (3, 64, 64)
    assert pixels.dtype == torch.float32
    resized = cv2.resize(image, (56, 40), interpolation=cv2.INTER_LINEAR)
    expected = (resized.astype(np.float32) - MEAN) / STD
    np.testing.assert_allclose(pixels[:, :40, :56].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert not pixels[:, 40:].any()
    assert not pixels[:, :, 56:].any()


def test_a_picture_of_the_right_size_is_not_resampled_and_views_are_taken() -> None:
    image = noise(32, 64)
    geometry = Geometry((32, 64), (32, 64), (32, 64))
    pixels = preprocess(image, geometry, CPU)
    restored = pixels.permute(1, 2, 0).numpy() * STD + MEAN
    np.testing.assert_allclose(restored, image, atol=1e-4)
    assert torch.equal(preprocess(image[:, ::-1], geometry, CPU), pixels.flip(2))


@pytest.mark.cuda
def test_cuda_resizes_to_within_one_level_of_opencv() -> None:
    image, geometry = noise(301, 403), Geometry.fit((301, 403), 768, 448)
    expected = preprocess(image, geometry, CPU)
    actual = preprocess(image, geometry, torch.device("cuda")).cpu()
    assert float((actual - expected).abs().max()) <= 1.001 / STD.min()


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((4, 5), np.uint8), r"uint8 array of shape \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"uint8 array of shape \(4, 5, 4\)"),
        (np.zeros((4, 5, 1), np.uint8), r"uint8 array of shape \(4, 5, 1\)"),
        (np.zeros((4, 5, 3), np.float32), r"float32 array of shape \(4, 5, 3\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"uint8 array of shape \(2, 4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"uint8 array of shape \(0, 5, 3\)"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8), "Tensor"),
        ("picture.jpg", "str"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_rgb_picture_is_refused_by_what_it_is(image: Any, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^image must be a \(H, W, 3\) uint8 RGB array, got {got}$"):
        check_image(image)


def enlarge(probs: Tensor, geometry: Geometry) -> Tensor:
    """The reference's way back of (h, w) values: four times larger, cut, resized to the picture."""
    large = F.interpolate(probs[None, None], scale_factor=4, mode="bilinear", align_corners=False)
    cut = large[..., : geometry.resized_hw[0], : geometry.resized_hw[1]]
    return F.interpolate(cut, size=geometry.image_hw, mode="bilinear", align_corners=False)[0, 0]


SIZES = [(480, 640), (640, 480), (99, 233), (31, 17), (1, 1), (1, 7), (3, 2000), (1234, 777), (256, 384)]


@pytest.mark.parametrize("image_hw", SIZES, ids=str)
def test_the_way_back_is_two_interpolations_in_one(image_hw: tuple[int, int]) -> None:
    geometry = Geometry.fit(image_hw, 384, 256)
    probs = torch.rand(geometry.mask_hw, generator=torch.Generator().manual_seed(1))
    back = geometry.rows.matrix @ probs.numpy() @ geometry.columns.matrix.T
    np.testing.assert_allclose(back, enlarge(probs, geometry).numpy(), atol=1e-5)


@pytest.mark.parametrize("lengths", [(480, 256, 256), (100, 60, 64), (17, 250, 256), (2000, 384, 384), (1, 1, 32)])
def test_an_axis_knows_the_taps_of_each_line(lengths: tuple[int, int, int]) -> None:
    axis = find_axis(*lengths)
    used = axis.matrix != 0
    for line in range(lengths[0]):
        taps = np.flatnonzero(used[line])
        assert (axis.first_tap[line], axis.last_tap[line]) == (taps[0], taps[-1])
    assert (np.diff(axis.first_tap) >= 0).all()
    assert (np.diff(axis.last_tap) >= 0).all()


@pytest.mark.parametrize("lengths", [(480, 256, 256), (100, 60, 64), (17, 250, 256)])
def test_reach_is_every_line_that_the_taps_touch(lengths: tuple[int, int, int]) -> None:
    axis = find_axis(*lengths)
    count = axis.matrix.shape[1]
    for first, last in [(0, 0), (3, 5), (0, count - 1), (count - 1, count - 1)]:
        occupied = np.zeros(count, np.bool_)
        occupied[first : last + 1] = True
        lines, taps = axis.reach(first, last + 1)
        touched = np.flatnonzero((axis.matrix[:, occupied] != 0).any(1))
        assert set(touched) <= set(range(lengths[0])[lines])
        needed = np.flatnonzero((axis.matrix[lines] != 0).any(0))
        assert set(needed) <= set(range(count)[taps])
        some, taps_of_some = axis.reach(first, last + 1, 5)
        assert list(range(lengths[0])[some]) == [line for line in range(lengths[0])[lines] if line % 5 == 0]
        assert set(np.flatnonzero((axis.matrix[some] != 0).any(0))) <= set(range(count)[taps_of_some])


def test_taps_that_lie_in_the_padding_are_reached_by_no_line() -> None:
    assert find_axis(100, 60, 128).reach(20, 32) == (slice(0, 0), slice(0, 0))
