"""Which cells find which instance by the network's own outputs, and what that costs where it is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from solov2 import VARIANTS, SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.training.dense_losses import dense_losses, mask_losses
from solov2.training.matching import (
    CELLS_PER_INSTANCE,
    InstanceTargets,
    Match,
    coverage,
    instance_targets,
    match,
    pairwise_iou,
)
from solov2.training.targets import GroundTruth

GRID, STRIDE, CLASSES = 8, 8, 3


def squares(*boxes: tuple[int, int, int, int], labels: tuple[int, ...] = (0, 1, 2)) -> InstanceTargets:
    """Filled boxes on a canvas of 64 x 64."""
    masks = np.zeros((len(boxes), 64, 64), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    truth = GroundTruth(np.array(labels[: len(boxes)], np.int64), np.array(boxes, np.float32).reshape(-1, 4), masks)
    return instance_targets(truth)


def silent() -> HeadOutputs:
    """One level of cells, each with a box of 16 px around its corner and low scores."""
    corners = torch.arange(GRID) * float(STRIDE)
    x, y = corners.expand(GRID, GRID), corners[:, None].expand(GRID, GRID)
    boxes = torch.stack((x - 8, y - 8, x + 8, y + 8))[None]
    logits, kernels = torch.full((1, CLASSES, GRID, GRID), -6.0), torch.zeros(1, 4, GRID, GRID)
    return HeadOutputs([logits], [kernels], torch.zeros(1, 4, 16, 16), [boxes], (STRIDE,))


def test_coverage_is_the_share_of_each_block() -> None:
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, :3, :4] = 1
    mask[0, 4:, 6:] = 1
    assert coverage(mask).tolist() == [[[0.75, 0], [0, 0.5]]]
    assert coverage(np.ones((2, 4, 4), np.uint8)).tolist() == [[[1.0]], [[1.0]]]
    assert coverage(np.zeros((0, 8, 8), np.uint8)).shape == (0, 2, 2)


def test_iou_is_that_of_every_pair() -> None:
    first = torch.tensor([[0.0, 0, 10, 10], [5, 5, 15, 15]])
    second = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 5, 10]])
    assert pairwise_iou(first, second).tolist() == [
        pytest.approx([1, 0, 0.5]),
        pytest.approx([25 / 175, 0, 0]),
    ]


def test_an_instance_takes_the_cells_whose_boxes_fit_best() -> None:
    (found,) = match(silent(), [squares((24, 24, 40, 40))])
    assert len(found.cells) == CELLS_PER_INSTANCE
    assert found.instances.tolist() == [0] * CELLS_PER_INSTANCE
    best = found.cells[found.ious.argmax()]
    assert (int(best) // GRID, int(best) % GRID) == (4, 4)
    assert float(found.ious.max()) == pytest.approx(1)


def test_a_score_of_the_right_class_draws_an_instance_to_its_cell() -> None:
    outputs = silent()
    outputs.category_logits[0][0, 1, 0:2, 0] = 4
    (found,) = match(outputs, [squares((0, 0, 8, 64), labels=(1,))])
    (other,) = match(outputs, [squares((0, 0, 8, 64), labels=(2,))])
    assert {0, GRID} <= set(found.cells.tolist())
    assert found.cells.tolist() != other.cells.tolist()


def test_a_cell_belongs_to_one_instance_the_better_one() -> None:
    (found,) = match(silent(), [squares((24, 24, 40, 40), (26, 26, 42, 42))])
    assert len(found.cells) == len(set(found.cells.tolist()))
    owners = dict(zip(found.cells.tolist(), found.instances.tolist(), strict=True))
    assert owners[4 * GRID + 4] == 0


def test_an_empty_picture_has_no_positive_cell() -> None:
    (found,) = match(silent(), [squares()])
    assert len(found.cells) == len(found.instances) == len(found.ious) == 0


def right_masks(target: InstanceTargets) -> Tensor:
    return 40 * target.masks - 20


def test_right_masks_cost_nothing_and_wrong_ones_much() -> None:
    target = squares((0, 0, 24, 24), (32, 32, 64, 64))
    found = Match(torch.tensor([3, 9]), torch.tensor([0, 1]), torch.ones(2))
    assert mask_losses(right_masks(target), target, found).tolist() == pytest.approx([0, 0], abs=1e-3)
    assert float(mask_losses(-right_masks(target), target, found).min()) > 1


def test_what_is_far_outside_the_box_does_not_count() -> None:
    target = squares((8, 8, 24, 24))
    found = Match(torch.tensor([0]), torch.tensor([0]), torch.ones(1))
    logits = right_masks(target)
    logits[:, 10:, 10:] = 20
    assert float(mask_losses(logits, target, found)) == pytest.approx(0, abs=1e-3)


def test_an_instance_with_a_box_alone_asks_only_for_the_reach_of_its_mask() -> None:
    target = replace(squares((8, 8, 40, 40)), has_mask=torch.tensor([False]))
    found = Match(torch.tensor([0]), torch.tensor([0]), torch.ones(1))
    cross, small = torch.full((1, 16, 16), -20.0), torch.full((1, 16, 16), -20.0)
    cross[0, 5, 2:10] = cross[0, 2:10, 5] = 20  # touches every side of the box
    small[0, 4:8, 4:8] = 20
    assert float(mask_losses(cross, target, found)) == pytest.approx(0, abs=1e-3)
    assert float(mask_losses(right_masks(target), target, found)) == pytest.approx(0, abs=1e-3)
    assert float(mask_losses(small, target, found)) > 0.3
    assert float(mask_losses(cross, replace(target, has_mask=torch.tensor([True])), found)) > 0.3


def losses_of(logits: Tensor, wanted: Tensor | None) -> tuple[float, float]:
    """The category and box loss of cells with perfect boxes, where the only instance is at cell (4, 4)."""
    outputs, target = silent(), squares((24, 24, 40, 40), labels=(1,))
    outputs.category_logits[0] = logits.clone().requires_grad_()
    cell = torch.tensor([4 * GRID + 4])
    found = Match(cell, torch.tensor([0]), torch.ones(1))
    terms = dense_losses(outputs, [target], [found], torch.tensor(1), wanted)
    return float(terms.category.detach()), float(terms.box.detach())


def test_the_category_of_a_matched_cell_is_its_iou_and_elsewhere_what_is_wanted() -> None:
    logits = torch.full((1, CLASSES, GRID, GRID), -20.0)
    logits[0, 1, 4, 4] = 20
    assert losses_of(logits, None) == pytest.approx((0, 0), abs=1e-4)
    wanted = torch.zeros(1, GRID * GRID, CLASSES)
    wanted[0, 5, 2] = 1
    missed, _ = losses_of(logits, wanted)
    assert missed == pytest.approx(20, rel=1e-3)  # the cross-entropy of a logit of -20
    logits[0, 2, 0, 5] = 20
    assert losses_of(logits, wanted)[0] == pytest.approx(0, abs=1e-4)


def test_a_frozen_detector_has_no_loss_of_categories_and_boxes() -> None:
    target = squares((24, 24, 40, 40))
    (found,) = match(silent(), [target])
    terms = dense_losses(silent(), [target], [found], torch.tensor(len(found.cells)))
    assert (float(terms.category), float(terms.box)) == (0, 0)
    assert float(terms.mask) > 0.5


@pytest.mark.parametrize("boxes", [((), ()), (((0, 0, 30, 40),), ()), (((0, 0, 30, 40),), ((8, 8, 60, 50),))])
def test_every_parameter_gets_a_finite_gradient_even_from_empty_pictures(
    boxes: tuple[tuple[tuple[int, int, int, int], ...], ...],
) -> None:
    torch.manual_seed(0)
    model = SOLOv2(VARIANTS["nano"], ("a", "b", "c")).train()
    model.mask_head.initialise()
    outputs, targets = model(torch.randn(2, 3, 64, 64)), [squares(*some) for some in boxes]
    matches = match(outputs, targets)
    found = dense_losses(outputs, targets, matches, torch.tensor(sum(len(one.cells) for one in matches)))
    torch.autograd.backward(found.total)
    assert bool(found.total.isfinite())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
