"""The losses of a dense detector with masks: Dice and cross-entropy inside the boxes, quality focal, GIoU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.decoding.mask_logits import inside_boxes, mask_logits
from solov2.network.outputs import HeadOutputs
from solov2.training.losses import Losses
from solov2.training.matching import InstanceTargets, Match, flatten_cells

DICE_WEIGHT = 1.0
ENTROPY_WEIGHT = 1.0
CATEGORY_WEIGHT = 1.0
BOX_WEIGHT = 1.0
MASK_MARGIN = 0.2  # of the box's width and height, around it, that a mask is asked about; decoding cuts at 0.1
DICE_SMOOTHING = 1.0  # pixels at stride 4


def dense_losses(
    outputs: HeadOutputs,
    targets: Sequence[InstanceTargets],
    matches: Sequence[Match],
    positives: Tensor,
    wanted: Tensor | None = None,
) -> Losses:
    """Return the losses of a batch in float32.

    Args:
        outputs: of B images.
        targets: of each of them, on the same device.
        matches: what `match` gives for them.
        positives: the number of positive cells of the whole batch, of which these may be a part.
        wanted: (B, cells, C) scores that are wanted where no instance is matched; None means zero.
    """
    kernels = flatten_cells(outputs.kernels)  # (B, cells, D)
    features = outputs.mask_features.float()
    boxes = flatten_cells(
        _needed_boxes(outputs)
    ).detach()  # a mask learns to fill its cell's box as decoding will see it
    mask_loss = kernels.sum() * 0 + features.sum() * 0  # keeps every parameter in the graph where nothing is positive
    for image, (target, match) in enumerate(zip(targets, matches, strict=True)):
        if len(match.cells):
            logits = mask_logits(kernels[image, match.cells], features[image], boxes[image, match.cells])
            mask_loss = mask_loss + mask_losses(logits, target, match).sum()
    positives = positives.clamp(min=1)
    logits = flatten_cells(outputs.category_logits)  # (B, cells, C)
    if not logits.requires_grad:  # only masks are trained
        return Losses(mask_loss / positives, torch.zeros_like(mask_loss))
    category_loss = _category_loss(logits, targets, matches, wanted)
    return Losses(
        mask_loss / positives,
        CATEGORY_WEIGHT * category_loss / positives,
        BOX_WEIGHT * _box_loss(outputs, targets, matches) / positives,
    )


def mask_losses(logits: Tensor, target: InstanceTargets, match: Match) -> Tensor:
    """Return the loss of each positive cell's mask inside its instance's enlarged box: (P, h, w) logits to (P,).

    Of an instance that has a box alone, its mask must only reach as far as the box in each row and column.

    Source of the latter: Tian et al., "BoxInst: High-Performance Instance Segmentation with Box Annotations" (2021).
    """
    inside = inside_boxes(target.boxes, logits.shape[1:], MASK_MARGIN).float()[match.instances]
    masks = target.masks[match.instances]
    entropy = (F.binary_cross_entropy_with_logits(logits, masks, reduction="none") * inside).flatten(1).sum(1)
    probs = logits.sigmoid() * inside
    whole = ENTROPY_WEIGHT * entropy / inside.flatten(1).sum(1).clamp(min=1)
    whole = whole + DICE_WEIGHT * _dice(probs.flatten(1), masks.flatten(1))
    if bool(target.has_mask.all()):
        return whole
    columns, rows = (_dice(probs.amax(axis), masks.amax(axis)) for axis in (1, 2))
    return torch.where(target.has_mask[match.instances], whole, DICE_WEIGHT * (columns + rows))


def _dice(probs: Tensor, masks: Tensor) -> Tensor:
    overlap = (probs * masks).sum(1)
    sizes = probs.square().sum(1) + masks.square().sum(1)
    return 1 - (2 * overlap + DICE_SMOOTHING) / (sizes + DICE_SMOOTHING)


def _category_loss(
    logits: Tensor, targets: Sequence[InstanceTargets], matches: Sequence[Match], wanted: Tensor | None
) -> Tensor:
    """Return the quality focal loss summed over all cells and classes.

    A positive cell's target for its class is the IoU of its box, or the wanted score if that is more. Where those are
    the starting weights' own scores, what they know is kept, and what the annotations leave out is not punished.

    Source: Li et al., "Generalized Focal Loss" (2020).
    """
    wanted = torch.zeros_like(logits) if wanted is None else wanted.clone()
    for scores, target, match in zip(wanted, targets, matches, strict=True):
        labels = target.labels[match.instances]
        scores[match.cells, labels] = torch.maximum(scores[match.cells, labels], match.ious)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (entropy * (logits.sigmoid() - wanted).square()).sum()


def _box_loss(outputs: HeadOutputs, targets: Sequence[InstanceTargets], matches: Sequence[Match]) -> Tensor:
    """Return 1 - GIoU summed over the positive cells (Rezatofighi et al., 2019)."""
    boxes = flatten_cells(_needed_boxes(outputs))
    found = torch.cat([image[match.cells] for image, match in zip(boxes, matches, strict=True)])
    truth = torch.cat([target.boxes[match.instances] for target, match in zip(targets, matches, strict=True)])
    low, high = torch.maximum(found[:, :2], truth[:, :2]), torch.minimum(found[:, 2:], truth[:, 2:])
    outer_low, outer_high = torch.minimum(found[:, :2], truth[:, :2]), torch.maximum(found[:, 2:], truth[:, 2:])
    overlap = (high - low).clamp(min=0).prod(1)
    union = (found[:, 2:] - found[:, :2]).prod(1) + (truth[:, 2:] - truth[:, :2]).prod(1) - overlap
    hull = (outer_high - outer_low).prod(1).clamp(min=1e-6)
    return (1 - overlap / union.clamp(min=1e-6) + (hull - union) / hull).sum()


def _needed_boxes(outputs: HeadOutputs) -> list[Tensor]:
    if outputs.boxes is None:
        raise ValueError("the head must predict boxes")
    return outputs.boxes
