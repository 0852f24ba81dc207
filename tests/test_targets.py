"""Which cells must find which instance."""

import cv2
import numpy as np
import pytest
import torch

from solov2.training.targets import GroundTruth, Targets, assign, quarter_masks
from solov2.variants import VARIANTS

GRIDS = (40, 36, 24, 16, 12)
ALL_SIZES = ((0.0, 1e9),)
Box = tuple[int, int, int, int]  # left, top, right, bottom


def truth_of(boxes: list[Box], labels: list[int] | None = None, size_hw: tuple[int, int] = (320, 320)) -> GroundTruth:
    """Filled rectangles."""
    masks = np.zeros((len(boxes), *size_hw), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return GroundTruth(
        np.array(labels or [0] * len(boxes), np.int64), np.array(boxes, np.float32).reshape(-1, 4), masks
    )


def cells_of(targets: Targets, instance: int) -> list[int]:
    return targets.cells[targets.instances == instance].tolist()


@pytest.mark.parametrize("size_hw", [(64, 96), (32, 32), (256, 384)])
@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_quarter_masks_are_opencvs(size_hw: tuple[int, int], density: float) -> None:
    masks = (np.random.default_rng(0).random((4, *size_hw)) < density).astype(np.uint8)
    quarter_wh = size_hw[1] // 4, size_hw[0] // 4
    expected = np.stack([cv2.resize(mask, quarter_wh, interpolation=cv2.INTER_LINEAR) for mask in masks])
    quarter = quarter_masks(masks)
    assert quarter.dtype == torch.float32
    np.testing.assert_array_equal(quarter.numpy(), expected)


def test_no_masks_have_no_quarters() -> None:
    assert quarter_masks(np.zeros((0, 64, 96), np.uint8)).shape == (0, 16, 24)


def levels_of(side_px: int, ranges: tuple[tuple[float, float], ...]) -> list[int]:
    """The levels that get a square of this side."""
    targets = assign(truth_of([(0, 0, side_px, side_px)], size_hw=(1024, 1024)), GRIDS, ranges, 80)
    first_cells = np.cumsum([0, *(size * size for size in GRIDS)])
    return sorted({int(np.searchsorted(first_cells, cell, "right")) - 1 for cell in targets.cells.tolist()})


@pytest.mark.parametrize(
    ("side_px", "levels"),
    [(1, [0]), (27, [0]), (28, [0, 1]), (56, [0, 1, 2]), (57, [1, 2]), (112, [1, 2, 3]), (224, [2, 3, 4]), (896, [4])],
)
def test_an_instance_belongs_to_every_level_whose_range_holds_it_ends_included(side_px: int, levels: list[int]) -> None:
    assert levels_of(side_px, VARIANTS["light-r18"].scale_ranges) == levels


def test_an_instance_larger_than_all_ranges_is_asked_of_no_cell() -> None:
    assert levels_of(897, VARIANTS["light-r18"].scale_ranges) == []


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((140, 140, 180, 180), [4, 5], [4, 5]),  # centre 159.5 +- 4 px: cells of 32 px, 4.86..5.11
        ((0, 0, 320, 320), [3, 4, 5], [3, 4, 5]),  # centre 159.5, half 32 px: 3.98..5.98
        ((0, 100, 320, 120), [3], [3, 4, 5]),  # flat: one row, 109.5 +- 2 px
        ((0, 0, 20, 20), [0], [0]),
        ((300, 300, 320, 320), [9], [9]),
    ],
)
def test_positive_cells_lie_around_the_centre_of_mass(box: Box, rows: list[int], columns: list[int]) -> None:
    targets = assign(truth_of([box], labels=[2]), (10,), ALL_SIZES, 3)
    expected = [10 * row + column for row in rows for column in columns]
    assert cells_of(targets, 0) == expected
    assert torch.nonzero(targets.labels == 2)[:, 0].tolist() == expected
    assert int((targets.labels == 3).sum()) == 100 - len(expected)


def test_a_region_reaches_one_cell_beyond_its_centre_at_most() -> None:
    targets = assign(truth_of([(0, 0, 320, 320)]), (40,), ALL_SIZES, 1)
    rows = {cell // 40 for cell in cells_of(targets, 0)}
    assert rows == {18, 19, 20}  # 0.1 * 320 px would be four cells of 8 px each way


def test_the_centre_is_that_of_the_mask_and_not_of_the_box() -> None:
    truth = truth_of([(0, 0, 320, 320)])
    truth.masks[0, :, 40:] = 0
    truth.masks[0, 0, :] = 1
    targets = assign(truth, (10,), ALL_SIZES, 1)
    assert {cell % 10 for cell in cells_of(targets, 0)} == {0, 1}


def test_cells_of_later_levels_follow_those_of_earlier_ones() -> None:
    targets = assign(truth_of([(0, 0, 20, 20)]), (10, 5), (*ALL_SIZES, *ALL_SIZES), 1)
    assert cells_of(targets, 0) == [0, 100]
    assert targets.labels.shape == (125,)


def test_a_shared_cell_has_the_later_label_and_both_masks() -> None:
    targets = assign(truth_of([(140, 140, 180, 180), (140, 100, 180, 220)], labels=[0, 1]), (10,), ALL_SIZES, 2)
    first, second = cells_of(targets, 0), cells_of(targets, 1)
    shared = set(first) & set(second)
    assert shared
    assert all(int(targets.labels[cell]) == 1 for cell in second)
    assert targets.masks.shape == (2, 80, 80)


def test_empty_pictures_and_empty_masks_ask_for_nothing() -> None:
    nothing = assign(truth_of([]), GRIDS, VARIANTS["r50"].scale_ranges, 80)
    assert nothing.cells.shape == nothing.instances.shape == (0,)
    assert nothing.masks.shape == (0, 80, 80)
    assert bool((nothing.labels == 80).all())
    hollow = truth_of([(10, 10, 50, 50)])
    hollow.masks[:] = 0
    assert len(assign(hollow, GRIDS, VARIANTS["r50"].scale_ranges, 80).cells) == 0


def test_targets_move_to_a_device_whole() -> None:
    targets = assign(truth_of([(0, 0, 20, 20)]), (10,), ALL_SIZES, 1)
    moved = targets.to(torch.device("meta"))
    assert all(tensor.is_meta for tensor in (moved.labels, moved.cells, moved.instances, moved.masks))
