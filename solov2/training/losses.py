"""The two losses of SOLOv2: Dice for the masks, focal for the categories."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.network.outputs import HeadOutputs
from solov2.training.targets import Targets

MASK_LOSS_WEIGHT = 3.0
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
DICE_EPSILON = 2e-3


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of one batch, their weights applied.

    Attributes:
        mask: 3 * Dice, per distinct positive cell.
        category: focal loss, per positive cell.
        box: of heads that predict boxes; zero for the others.
    """

    mask: Tensor
    category: Tensor
    box: Tensor = field(default_factory=lambda: torch.zeros(()))

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.mask + self.category + self.box.to(self.mask.device)


def dice_loss(probs: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum(p^2) + sum(t^2) + 2e-3) of each row: (P, n), (P, n) to (P,)."""
    overlap = (probs * masks).sum(1)
    sizes = probs.square().sum(1) + masks.square().sum(1)
    return 1 - 2 * overlap / (sizes + DICE_EPSILON)


def sigmoid_focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the focal loss summed over all cells and classes.

    Args:
        logits: (cells, C).
        labels: (cells,) int64; C means background.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017).
    """
    target = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].to(logits.dtype)
    probs = logits.sigmoid()
    one_minus_pt = torch.where(target > 0, 1 - probs, probs)
    alpha = torch.where(target > 0, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (alpha * one_minus_pt**FOCAL_GAMMA * entropy).sum()


def count_positives(targets: Sequence[Targets], background: int) -> Tensor:
    """Return the number of distinct positive cells of a batch."""
    return torch.stack([(target.labels != background).sum() for target in targets]).sum()


def losses(outputs: HeadOutputs, targets: Sequence[Targets], positives: Tensor | None = None) -> Losses:
    """Return the losses of a batch in float32.

    Args:
        outputs: of B images.
        targets: of each of them, on the same device.
        positives: what `count_positives` gives for the whole batch, where these are only a part of it, so that the
            losses of the parts add up to that of the batch. None: these are all.
    """
    logits = _flatten(outputs.category_logits)  # (B, cells, C)
    kernels = _flatten(outputs.kernels)  # (B, cells, D)
    features = outputs.mask_features.float().flatten(2)  # (B, E, h*w)
    background = logits.shape[2]
    labels = torch.stack([target.labels for target in targets])  # (B, cells)
    if positives is None:
        positives = count_positives(targets, background)

    mask_loss = kernels.sum() * 0 + features.sum() * 0  # keeps every parameter in the graph where nothing is positive
    for image_kernels, image_features, target in zip(kernels, features, targets, strict=True):
        if len(target.cells):
            probs = (image_kernels[target.cells] @ image_features).sigmoid()  # (P, h*w)
            mask_loss = mask_loss + dice_loss(probs, target.masks.flatten(1)[target.instances]).sum()
    category_loss = sigmoid_focal_loss(logits.flatten(0, 1), labels.flatten())
    return Losses(MASK_LOSS_WEIGHT * mask_loss / positives.clamp(min=1), category_loss / (positives + 1))


def _flatten(levels: Sequence[Tensor]) -> Tensor:
    """(B, C, S, S) of each level to (B, cells of all levels, C) float32."""
    return torch.cat([level.float().flatten(2) for level in levels], 2).transpose(1, 2)
