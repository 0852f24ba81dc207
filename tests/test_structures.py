"""Instances: masks, boxes, areas, id map and codes tell one story, whatever the picture's size."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from solov2 import Instances
from solov2.decoding.geometry import Geometry

SIZES = [(480, 640), (600, 400), (97, 133), (31, 17), (1, 1), (1, 9), (3, 2000), (2000, 3), (256, 384)]


def blobs(count: int, geometry: Geometry, seed: int = 0) -> Tensor:
    """Smooth random probabilities; the last one nowhere above the threshold."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 3 * torch.randn(1, count, 4, 4, generator=generator)
    probs = F.interpolate(coarse, size=geometry.mask_hw, mode="bicubic", align_corners=False)[0].sigmoid()
    probs[-1] *= 0.4
    return probs


def instances_of(geometry: Geometry, count: int = 6) -> Instances:
    scores = np.linspace(0.9, 0.4, count, dtype=np.float32)
    return Instances.from_probs(blobs(count, geometry), scores, np.arange(count) % 3, geometry)


def enlarged(probs: Tensor, geometry: Geometry) -> npt.NDArray[np.float32]:
    """The reference's way back, done in full."""
    large = F.interpolate(probs[None], scale_factor=4, mode="bilinear", align_corners=False)
    cut = large[..., : geometry.resized_hw[0], : geometry.resized_hw[1]]
    return F.interpolate(cut, size=geometry.image_hw, mode="bilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("image_hw", SIZES, ids=str)
def test_masks_are_the_enlarged_probabilities_above_the_threshold(image_hw: tuple[int, int]) -> None:
    geometry = Geometry.fit(image_hw, 384, 256)
    instances = instances_of(geometry)
    values = enlarged(blobs(6, geometry), geometry)
    differ = instances.masks != (values > 0.5)
    assert (np.abs(values[differ] - 0.5) < 1e-5).all()  # ties only
    assert instances.masks.shape == (6, *image_hw)
    assert not instances.masks[-1].any()


@pytest.mark.parametrize("image_hw", SIZES, ids=str)
def test_boxes_areas_crops_codes_and_id_map_are_those_of_the_masks(image_hw: tuple[int, int]) -> None:
    instances = instances_of(Geometry.fit(image_hw, 384, 256))
    masks = instances.masks
    assert instances.areas.tolist() == masks.sum((1, 2)).tolist()
    for mask, box, crop in zip(masks, instances.boxes, instances.crops, strict=True):
        ys, xs = np.nonzero(mask)
        expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(ys) else [0, 0, 0, 0]
        assert box.tolist() == expected
        assert crop.mask.shape == (expected[3] - expected[1], expected[2] - expected[0])
    ids = np.zeros(image_hw, np.uint8)
    for k in reversed(range(len(instances))):
        ids[masks[k]] = k + 1
    np.testing.assert_array_equal(instances.id_map, ids)
    codes = instances.rle()
    assert all(code["size"] == list(image_hw) for code in codes)
    np.testing.assert_array_equal(coco_mask.decode(codes).transpose(2, 0, 1), masks)


def test_the_semantic_map_shows_the_label_of_the_better_score() -> None:
    geometry = Geometry.fit((96, 128), 384, 256)
    probs = torch.zeros(3, *geometry.mask_hw)
    probs[0, 10:30, 10:30], probs[1, 20:50, 20:50], probs[2, 20:50, 40:70] = 1, 1, 1
    labels = np.array([5, 79, 5])
    found = Instances.from_probs(probs, np.array([0.9, 0.8, 0.7], np.float32), labels, geometry)
    first, second, third = found.masks
    semantic = found.semantic_map()
    assert (semantic[first] == 5).all()
    assert (semantic[second & ~first] == 79).all()
    assert (semantic[third & ~second] == 5).all()
    assert (semantic[~found.masks.any(0)] == -1).all()
    assert (second & first).any()
    assert (third & second).any()
    assert (Instances.empty((96, 128)).semantic_map() == -1).all()


def test_a_picture_of_64_megapixels_costs_only_what_its_instances_cover() -> None:
    geometry = Geometry.fit((8000, 8000), 384, 256)
    probs = torch.zeros(2, *geometry.mask_hw)
    probs[0, 10:20, 30:34], probs[1, 63, 63] = 1, 1
    instances = Instances.from_probs(probs, np.array([0.9, 0.8], np.float32), np.array([0, 1]), geometry)
    left, top, right, bottom = instances.boxes[0]
    assert (left, top, right, bottom) == pytest.approx((30 * 125, 10 * 125, 34 * 125, 20 * 125), abs=2)
    assert instances.boxes[1, 2:].tolist() == [8000, 8000]
    assert instances.areas[0] == pytest.approx(40 * 125**2, rel=0.02)  # bilinear corners are round
    assert (instances.id_map[5000:, 5000:] == 2).sum() == instances.areas[1]
    assert coco_mask.area(instances.rle()).tolist() == instances.areas.tolist()


def test_other_thresholds_give_smaller_and_larger_masks() -> None:
    geometry = Geometry.fit((100, 120), 384, 256)
    areas = [
        Instances.from_probs(
            blobs(3, geometry), np.ones(3, np.float32), np.zeros(3, np.int64), geometry, threshold
        ).areas
        for threshold in (0.3, 0.5, 0.7)
    ]
    assert (areas[0][:2] > areas[1][:2]).all()
    assert (areas[1][:2] > areas[2][:2]).all()


def test_no_instances_have_empty_arrays_of_the_right_shape() -> None:
    nothing = Instances.empty((20, 30))
    assert len(nothing) == 0
    assert nothing.masks.shape == (0, 20, 30)
    assert nothing.boxes.shape == (0, 4)
    assert nothing.areas.shape == (0,)
    assert nothing.rle() == []
    assert not nothing.id_map.any()
    assert repr(nothing) == "Instances(0 in 30x20)"


def test_selecting_keeps_what_is_asked_for() -> None:
    instances = instances_of(Geometry.fit((60, 90), 384, 256))
    assert repr(instances) == "Instances(6 in 90x60, best 0.90)"
    by_flag = instances.select(instances.labels == 1)
    by_index = instances.select(np.array([1, 4]))
    for chosen in (by_flag, by_index):
        assert chosen.labels.tolist() == [1, 1]
        np.testing.assert_array_equal(chosen.masks, instances.masks[[1, 4]])
        np.testing.assert_array_equal(chosen.scores, instances.scores[[1, 4]])


def test_parts_of_different_lengths_are_refused() -> None:
    geometry = Geometry.fit((60, 90), 384, 256)
    with pytest.raises(ValueError, match=r"^lengths must agree, got 3 masks, 2 scores, 3 labels$"):
        Instances.from_probs(blobs(3, geometry), np.ones(2, np.float32), np.zeros(3, np.int64), geometry)


def test_probabilities_of_another_picture_are_refused() -> None:
    geometry = Geometry.fit((60, 90), 384, 256)
    with pytest.raises(ValueError, match=r"^mask_probs must be \(N, 64, 96\), got \(3, 8, 8\)$"):
        Instances.from_probs(torch.zeros(3, 8, 8), np.ones(3, np.float32), np.zeros(3, np.int64), geometry)
