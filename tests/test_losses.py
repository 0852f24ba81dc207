"""Dice and focal loss against their formulas, and what they ask of a network."""

import math

import numpy as np
import pytest
import torch

from solov2 import VARIANTS, SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.training.losses import dice_loss, losses, sigmoid_focal_loss
from solov2.training.targets import GroundTruth, Targets, assign


def test_dice_is_zero_for_the_same_mask_and_one_for_a_disjoint_one() -> None:
    mask = torch.tensor([[1.0, 1, 0, 0] * 50])
    assert float(dice_loss(mask, mask)) == pytest.approx(0, abs=1e-4)
    assert float(dice_loss(mask, 1 - mask)) == 1
    assert float(dice_loss(mask, torch.zeros_like(mask))) == 1


def test_dice_is_that_of_the_formula() -> None:
    probs, masks = torch.rand(3, 20), (torch.rand(3, 20) > 0.5).float()
    for loss, p, t in zip(dice_loss(probs, masks).tolist(), probs.tolist(), masks.tolist(), strict=True):
        overlap = sum(a * b for a, b in zip(p, t, strict=True))
        assert loss == pytest.approx(1 - 2 * overlap / (sum(a * a for a in p) + sum(t) + 2e-3), rel=1e-5)


def test_focal_loss_is_that_of_the_formula() -> None:
    logits, labels = torch.randn(6, 2), torch.tensor([0, 1, 2, 2, 1, 0])  # 2 is background
    expected = 0.0
    for row, label in zip(logits.sigmoid().tolist(), labels.tolist(), strict=True):
        for k, p in enumerate(row):
            expected += -0.25 * (1 - p) ** 2 * math.log(p) if k == label else -0.75 * p**2 * math.log(1 - p)
    assert float(sigmoid_focal_loss(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_extreme_logits_give_a_finite_loss() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1, 1]))
    torch.autograd.backward(loss)
    assert bool(loss.isfinite())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def discs(count: int) -> Targets:
    """Targets of light-r18 for discs on a canvas of 64 x 64."""
    y, x = np.mgrid[:64, :64]
    centers = [(16 + 30 * k, 20 + 20 * k) for k in range(count)]
    masks = np.array([(y - cy) ** 2 + (x - cx) ** 2 <= 100 for cy, cx in centers], np.uint8).reshape(-1, 64, 64)
    boxes = np.array([(cx - 10, cy - 10, cx + 11, cy + 11) for cy, cx in centers], np.float32).reshape(-1, 4)
    row = VARIANTS["light-r18"]
    assert row.grid_sizes is not None
    return assign(GroundTruth(np.arange(count) % 2, boxes, masks), row.grid_sizes, row.scale_ranges, 2)


@pytest.mark.parametrize("counts", [(0, 0), (2, 0), (1, 2)])
def test_every_trained_parameter_gets_a_finite_gradient_even_from_empty_pictures(counts: tuple[int, ...]) -> None:
    model = SOLOv2(VARIANTS["light-r18"]).train()
    model.mask_head.initialise()
    model.backbone.freeze()
    found = losses(model(torch.randn(2, 3, 64, 64)), [discs(count) for count in counts])
    torch.autograd.backward(found.total)
    assert bool(found.total.isfinite())
    if not any(counts):
        assert float(found.mask.detach()) == 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name


def outputs_for(targets: Targets) -> HeadOutputs:
    """Outputs that say exactly what two instances ask for."""
    grids = VARIANTS["light-r18"].grid_sizes
    assert grids is not None
    labels = torch.nn.functional.one_hot(targets.labels, 3)[:, :2].T.float()  # (C, cells)
    logits = 40 * labels - 20
    kernels = torch.zeros(2, labels.shape[1])
    kernels[targets.instances, targets.cells] = 1.0
    sizes = [grid * grid for grid in grids]
    return HeadOutputs(
        [part.reshape(1, 2, grid, grid) for part, grid in zip(torch.split(logits, sizes, 1), grids, strict=True)],
        [part.reshape(1, 2, grid, grid) for part, grid in zip(torch.split(kernels, sizes, 1), grids, strict=True)],
        (40 * targets.masks - 20)[None],
    )


def test_a_network_that_says_what_is_asked_for_has_no_loss() -> None:
    targets = discs(2)
    found = losses(outputs_for(targets), [targets])
    assert float(found.mask) == pytest.approx(0, abs=1e-3)
    assert float(found.category) == pytest.approx(0, abs=1e-6)
    assert float(found.total) == pytest.approx(float(found.mask + found.category))


def test_wrong_masks_cost_three_for_each_positive_cell() -> None:
    targets = discs(2)
    right = outputs_for(targets)
    wrong = HeadOutputs(right.category_logits, right.kernels, -right.mask_features)
    cells, distinct = len(targets.cells), int((targets.labels != 2).sum())
    assert float(losses(wrong, [targets]).mask) == pytest.approx(3 * cells / distinct, rel=1e-3)
