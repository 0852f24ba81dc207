"""Boxes and the id map of masks at stride 4, computed on the device that holds them."""

import torch
from torch import Tensor

from solov2.decoding.geometry import Geometry, axis_on
from solov2.masks.mask_form import MAX_IDS

PAINTED_AT_ONCE = 10  # masks enlarged to the picture's size at a time


def paint(probs: Tensor, geometry: Geometry, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the boxes (N, 4) float32 and the id map (H, W) uint8 of `probs` (N, h, w), computed on their device.

    Planes of the picture's size exist for a few masks at a time only, the last ones first, so that earlier ones cover
    them.

    Args:
        probs: in the precision in which they are enlarged; those after the first 255 get a box only.
        geometry: of the picture.
        threshold: a pixel belongs to a mask above it.
    """
    rows, columns = (axis_on(axis, probs.device, probs.dtype) for axis in (geometry.rows, geometry.columns))
    height, width = geometry.image_hw
    ids = torch.zeros(height, width, dtype=torch.uint8, device=probs.device)
    boxes = torch.zeros(len(probs), 4, device=probs.device)
    for first in reversed(range(0, len(probs), PAINTED_AT_ONCE)):
        part = slice(first, first + PAINTED_AT_ONCE)
        masks = (rows @ probs[part] @ columns.T) > threshold  # (k, H, W)
        numbers = torch.arange(first + 1, first + 1 + len(masks), device=probs.device)
        numbers = torch.where(numbers <= MAX_IDS, numbers, 0).to(torch.uint8)
        best = masks.to(torch.uint8).argmax(0)  # the first of equal ones: the best score
        ids = torch.where(masks.any(0), numbers[best], ids)
        boxes[part] = _boxes(masks)
    return boxes, ids


def _boxes(masks: Tensor) -> Tensor:
    """Return (k, 4) float32 xyxy of (k, H, W) masks; zeros for an empty one."""
    sides = []
    for occupied in (masks.any(1), masks.any(2)):  # (k, W), (k, H)
        flags = occupied.to(torch.uint8)
        sides.append((flags.argmax(1), occupied.shape[1] - flags.flip(1).argmax(1)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float() * masks.flatten(1).any(1)[:, None]
