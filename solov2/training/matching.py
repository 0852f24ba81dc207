"""Which cells of a dense detector must find which instance, decided by what the network says at that step."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solov2.network.outputs import HeadOutputs
from solov2.training.targets import GroundTruth
from solov2.variants import MASK_STRIDE

CELLS_PER_INSTANCE = 5
SCORE_EXPONENT, IOU_EXPONENT = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class InstanceTargets:
    """The instances of one image, for a network whose own outputs decide which cells must find them.

    Attributes:
        labels: (N,) int64.
        boxes: (N, 4) float32 xyxy in input pixels.
        masks: (N, h, w) float32 at stride 4: the share of each pixel that the instance covers.
        has_mask: (N,) bool, False where only the box was annotated, so that the mask is all of it.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    has_mask: Tensor

    def pin_memory(self) -> "InstanceTargets":
        """Return these targets where a CUDA device reads them without the processor's help."""
        return InstanceTargets(*(getattr(self, field.name).pin_memory() for field in fields(self)))

    def to(self, device: torch.device) -> "InstanceTargets":
        """Return these targets on `device`."""
        return InstanceTargets(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Match:
    """The positive cells of one image, P of them; cells count through all levels, row by row.

    Attributes:
        cells: (P,) int64, each once.
        instances: (P,) int64, the instance that the cell must give.
        ious: (P,) float32, of the cell's predicted box with the instance's.
    """

    cells: Tensor
    instances: Tensor
    ious: Tensor


def instance_targets(truth: GroundTruth) -> InstanceTargets:
    """Return the targets of one padded input image."""
    has_mask = np.ones(len(truth.labels), np.bool_) if truth.has_mask is None else truth.has_mask
    labels, boxes = torch.from_numpy(truth.labels), torch.from_numpy(truth.boxes)
    return InstanceTargets(labels, boxes, coverage(truth.masks), torch.from_numpy(has_mask))


def coverage(masks: npt.NDArray[np.uint8]) -> Tensor:
    """Return the share of each 4x4 block that a mask covers: (N, H, W) of zeros and ones to (N, h, w) float32.

    A mask that is learned from it, enlarged and cut at one half has its edge where the instance's edge is, also
    between two pixels of stride 4.
    """
    rows = np.add.reduce([masks[:, i::MASK_STRIDE] for i in range(MASK_STRIDE)], dtype=np.uint8)
    counts = np.add.reduce([rows[:, :, i::MASK_STRIDE] for i in range(MASK_STRIDE)], dtype=np.uint8)
    return torch.from_numpy(counts.astype(np.float32) / MASK_STRIDE**2)


def flatten_cells(levels: Sequence[Tensor]) -> Tensor:
    """Join the levels: (B, C, S_h, S_w) each to (B, cells of all levels, C) float32."""
    return torch.cat([level.float().flatten(2) for level in levels], 2).transpose(1, 2)


@torch.no_grad()
def match(outputs: HeadOutputs, targets: Sequence[InstanceTargets]) -> list[Match]:
    """Return the positive cells of each image.

    Each instance takes the five cells of the largest score^0.5 * IoU^2, where the score is that of its class and the
    IoU that of the predicted box with its own. A cell that several instances ask for goes to the one with which it has
    the larger value.

    Source: Feng et al., "TOOD: Task-aligned One-stage Object Detection" (2021).
    """
    if outputs.boxes is None:
        raise ValueError("the head must predict boxes")
    scores, boxes = flatten_cells(outputs.category_logits).sigmoid(), flatten_cells(outputs.boxes)
    return [_match_image(*image) for image in zip(scores, boxes, targets, strict=True)]


def _match_image(scores: Tensor, boxes: Tensor, target: InstanceTargets) -> Match:
    ious = pairwise_iou(target.boxes, boxes)  # (N, cells)
    if not len(ious):
        nothing = torch.zeros(0, dtype=torch.int64, device=scores.device)
        return Match(nothing, nothing, scores.new_zeros(0))
    alignment = scores[:, target.labels].T ** SCORE_EXPONENT * ious**IOU_EXPONENT  # (N, cells)
    chosen = torch.zeros_like(alignment)
    best = alignment.topk(CELLS_PER_INSTANCE, dim=1)
    chosen.scatter_(1, best.indices, best.values)
    values, owners = chosen.max(0)  # (cells,)
    cells = torch.nonzero(values)[:, 0]
    return Match(cells, owners[cells], ious[owners[cells], cells])


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of every pair of (N, 4) and (M, 4) xyxy boxes: (N, M)."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (first, second)]
    return overlap / (areas[0][:, None] + areas[1] - overlap).clamp(min=1e-6)
