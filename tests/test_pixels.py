"""Without OpenCV the model computes the same: NumPy's version of each operation against OpenCV's."""

import cv2
import numpy as np
import pytest

from solov2 import pixels
from solov2.pixels import bounding_rect_by_numpy, multiply, resize_by_numpy, transpose

RANDOM = np.random.default_rng(0)
TYPICAL = [(720, 1280), (1080, 1920), (480, 640), (512, 512), (427, 640), (333, 500), (1, 1), (1, 700), (700, 1)]


def fitted(image_hw: tuple[int, int], long_px: int, short_px: int) -> tuple[int, int]:
    scale = min(long_px / max(image_hw), short_px / min(image_hw))
    height, width = (max(int(side * scale + 0.5), 1) for side in image_hw)
    return height, width


@pytest.mark.parametrize("image_hw", [*TYPICAL, *(tuple(map(int, RANDOM.integers(1, 900, 2))) for _ in range(40))])
def test_numpy_resizes_like_opencv_to_the_last_bit(image_hw: tuple[int, int]) -> None:
    image = RANDOM.integers(0, 256, (*image_hw, 3), dtype=np.uint8)
    sizes = [fitted(image_hw, *limits) for limits in ((384, 256), (768, 448), (1333, 800))]
    height, width = map(int, RANDOM.integers(1, 500, 2))
    sizes += [(height, width), (2 * image_hw[0], image_hw[1])]
    for size_hw in sizes:
        expected = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(resize_by_numpy(image, size_hw), expected), size_hw


def test_numpy_halves_like_opencv() -> None:
    for side in (2, 10, 512):
        image = RANDOM.integers(0, 256, (side, 4 * side, 3), dtype=np.uint8)
        expected = cv2.resize(image, (2 * side, side // 2), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(resize_by_numpy(image, (side // 2, 2 * side)), expected)


def test_numpy_finds_the_box_that_opencv_finds() -> None:
    for share in (0.0, 0.001, 0.01, 1.0):
        mask = RANDOM.random((40, 50)) < share
        assert bounding_rect_by_numpy(mask) == tuple(cv2.boundingRect(mask.view(np.uint8)))


def test_numpy_transposes_and_multiplies_like_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = RANDOM.integers(0, 256, (30, 70), dtype=np.uint8)
    left, right = (RANDOM.random(shape, dtype=np.float32) for shape in ((30, 50), (50, 20)))
    expected = transpose(plane), multiply(left, right), multiply(left, right.T.copy(), transpose_right=True)
    monkeypatch.setattr(pixels, "cv2", None)
    assert np.array_equal(transpose(plane), expected[0])
    for product in (multiply(left, right), multiply(left, right.T.copy(), transpose_right=True)):
        for other in expected[1:]:
            assert np.allclose(product, other, rtol=1e-5, atol=0)
