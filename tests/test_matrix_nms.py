"""Matrix NMS against a loop written from its formula."""

import math
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor

from solov2.decoding.matrix_nms import count_common_pixels, matrix_nms

SHAPES: dict[str, Callable[[float], float]] = {
    "gaussian": lambda iou: math.exp(-2 * iou * iou),
    "linear": lambda iou: 1 - iou,
}


def iou_of(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum() / torch.maximum(first, second).sum())


def in_a_loop(masks: Tensor, labels: Tensor, scores: Tensor, shape: Callable[[float], float]) -> list[float]:
    def better(j: int) -> list[int]:
        return [i for i in range(j) if labels[i] == labels[j]]

    def covered(i: int) -> float:
        return max((iou_of(masks[k], masks[i]) for k in better(i)), default=0.0)

    return [
        float(scores[j]) * min((shape(iou_of(masks[i], masks[j])) / shape(covered(i)) for i in better(j)), default=1.0)
        for j in range(len(scores))
    ]


def random_candidates(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Overlapping rectangles of three classes, sorted by falling score."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(30, 12, 12)
    for mask in masks:
        top, left = torch.randint(0, 6, (2,), generator=generator).tolist()
        height, width = torch.randint(2, 7, (2,), generator=generator).tolist()
        mask[top : top + height, left : left + width] = 1
    labels = torch.randint(0, 3, (30,), generator=generator)
    return masks.flatten(1), labels, torch.rand(30, generator=generator).sort(descending=True).values


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_decay_is_that_of_the_formula(method: Literal["gaussian", "linear"], seed: int) -> None:
    masks, labels, scores = random_candidates(seed)
    keep = [k for k in range(30) if all(not torch.equal(masks[i], masks[k]) for i in range(k))]  # 1 - iou is 0 there
    masks, labels, scores = masks[keep], labels[keep], scores[keep]
    expected = in_a_loop(masks, labels, scores, SHAPES[method])
    assert matrix_nms(masks, labels, scores, method).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize("copies", [2, 3, 10])
def test_identical_masks_lose_to_the_best_of_them(method: Literal["gaussian", "linear"], copies: int) -> None:
    scores = torch.linspace(0.9, 0.5, copies)
    decayed = matrix_nms(torch.ones(copies, 20), torch.zeros(copies, dtype=torch.int64), scores, method)
    assert decayed[0] == scores[0]
    kept = math.exp(-2) if method == "gaussian" else 0.0
    assert float(decayed[1]) == pytest.approx(kept * float(scores[1]))
    assert bool(decayed.isfinite().all())


def test_masks_of_other_classes_and_empty_masks_suppress_nothing() -> None:
    masks = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert torch.equal(matrix_nms(masks, torch.tensor([0, 1, 0, 0]), scores), scores)


@pytest.mark.parametrize("method", ["gaussian", "linear"])
def test_scores_never_rise_and_the_best_of_each_class_stays(method: Literal["gaussian", "linear"]) -> None:
    masks, labels, scores = random_candidates(4)
    decayed = matrix_nms(masks, labels, scores, method)
    assert bool((decayed <= scores).all())
    assert bool((decayed >= 0).all())
    for label in range(3):
        first = int((labels == label).nonzero()[0])
        assert decayed[first] == scores[first]


def test_nothing_comes_of_nothing() -> None:
    nothing = matrix_nms(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    assert nothing.shape == (0,)


def test_areas_beyond_what_half_precision_can_count_are_exact() -> None:
    masks = torch.zeros(2, 70_000)
    masks[0], masks[1, :69_999] = 1, 1
    decayed = matrix_nms(masks, torch.zeros(2, dtype=torch.int64), torch.tensor([0.9, 0.8]), "linear")
    assert float(decayed[1]) == pytest.approx(0.8 / 70_000, rel=1e-2)


@pytest.mark.parametrize("height_px", [1, 10, 60, 96])  # of the masks, in a picture of 96 rows
def test_pixels_counted_in_bands_are_those_of_whole_masks(height_px: int) -> None:
    generator = torch.Generator().manual_seed(height_px)
    masks = torch.zeros(40, 96, 17)
    for mask in masks[1:]:  # the first stays empty
        top = int(torch.randint(0, 97 - height_px, (), generator=generator))
        mask[top : top + height_px] = (torch.rand(height_px, 17, generator=generator) > 0.5).float()
    flat = masks.flatten(1)
    assert torch.equal(count_common_pixels(flat), flat @ flat.T)
