"""Run-length codes of crops are, byte for byte, pycocotools' codes of the whole masks."""

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from solov2.masks.crop_rle import decode_crop, encode_crops, runs_of
from solov2.masks.mask_crop import EMPTY, MaskCrop, trimmed
from solov2.masks.rle import check_rle

Mask = npt.NDArray[np.bool_]


def whole_codes(masks: Mask) -> list[dict[str, object]]:
    """What pycocotools makes of (N, H, W)."""
    codes = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [{"size": code["size"], "counts": code["counts"].decode("ascii")} for code in codes]


def random_masks(seed: int) -> Mask:
    """Noise of every density within a random rectangle, which often touches the borders."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 40, 2)
    masks = np.zeros((8, height, width), bool)
    for mask in masks:
        top, bottom = np.sort(random.integers(0, height + 1, 2))
        left, right = np.sort(random.integers(0, width + 1, 2))
        shape = bottom - top, right - left
        mask[top:bottom, left:right] = random.random(shape) < random.choice([0.05, 0.5, 0.95, 1.0])
    return masks


def special_masks() -> dict[str, Mask]:
    cases = {name: np.zeros((1, 7, 5), bool) for name in ("empty", "full", "column", "row", "corners", "last pixel")}
    cases["full"][:] = True
    cases["column"][0, :, 2] = True
    cases["row"][0, 3] = True
    cases["corners"][0, [0, 0, -1, -1], [0, -1, 0, -1]] = True
    cases["last pixel"][0, -1, -1] = True
    cases["one pixel"] = np.ones((1, 1, 1), bool)
    cases["two whole columns"] = np.zeros((1, 9, 6), bool)
    cases["two whole columns"][0, :, 2:4] = True
    cases["large"] = np.hypot(*np.ogrid[-400:320, -500:780])[None] < 300
    return cases


@pytest.mark.parametrize("seed", range(60))
def test_codes_of_random_masks_are_those_of_pycocotools(seed: int) -> None:
    masks = random_masks(seed)
    crops = [trimmed(mask) for mask in masks]
    assert encode_crops(crops, masks.shape[1:]) == whole_codes(masks)
    for mask, crop in zip(masks, map(decode_crop, whole_codes(masks)), strict=True):
        assert_covers(crop, mask)


@pytest.mark.parametrize("name", special_masks())
def test_codes_of_special_masks_are_those_of_pycocotools(name: str) -> None:
    masks = special_masks()[name]
    crop = trimmed(masks[0])
    (code,) = whole_codes(masks)
    assert encode_crops([crop], masks.shape[1:]) == [code]
    assert_covers(decode_crop(code), masks[0])
    runs = {"size": code["size"], "counts": runs_of(crop, masks.shape[1:]).tolist()}
    assert check_rle(runs) == code


def assert_covers(crop: MaskCrop, mask: Mask) -> None:
    plane = np.zeros_like(mask)
    crop.window(plane)[:] = crop.mask
    np.testing.assert_array_equal(plane, mask)
    assert crop.mask.shape == trimmed(mask).mask.shape


def test_a_crop_that_is_larger_than_its_mask_has_the_same_code() -> None:
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 5:9, 11:14] = True
    for top, left, bottom, right in ((0, 0, 20, 30), (5, 0, 9, 30), (0, 10, 20, 20)):
        crop = MaskCrop(top, left, mask[0, top:bottom, left:right])
        assert encode_crops([crop], (20, 30)) == whole_codes(mask)


def test_a_crop_without_a_pixel_has_the_code_of_an_empty_mask() -> None:
    assert encode_crops([EMPTY], (4, 5)) == whole_codes(np.zeros((1, 4, 5), bool))
