"""Masks from kernels: a 1x1 convolution over the mask features and, where there are boxes, a coarse mask of each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from solov2.variants import COARSE_SIDE, MASK_STRIDE

BOX_MARGIN = 0.1  # of its width and height, by which a mask may reach over its predicted box


def mask_logits(kernels: Tensor, features: Tensor, boxes: Tensor | None = None) -> Tensor:
    """Return the logits of N masks: (N, h, w) float32.

    Args:
        kernels: (N, E), or with `boxes` (N, E + 36), where the last numbers of each are the logits of a coarse mask of
            6x6 pixels; it is laid over the box with its margin, enlarged by bilinear interpolation and added.
        features: (E, h, w) mask features.
        boxes: (N, 4) xyxy in input pixels.
    """
    channels, *mask_hw = features.shape
    logits = (kernels[:, :channels] @ features.flatten(1)).float().reshape(-1, *mask_hw)
    if boxes is None or kernels.shape[1] == channels:
        return logits
    coarse = kernels[:, channels:].float().reshape(-1, COARSE_SIDE, COARSE_SIDE)
    (left, top), (right, bottom) = boxes[:, :2].unbind(1), boxes[:, 2:].unbind(1)
    rows = _interpolation(top, bottom, mask_hw[0])  # (N, h, 6)
    columns = _interpolation(left, right, mask_hw[1])  # (N, w, 6)
    return torch.baddbmm(logits, rows @ coarse, columns.transpose(1, 2))


def _interpolation(low: Tensor, high: Tensor, side: int) -> Tensor:
    """Return the weight of each coarse pixel at each of `side` pixels along one axis: (N, side, 6).

    What lies beyond the centre of the first or last coarse pixel takes its value.
    """
    length = (high - low).clamp(min=MASK_STRIDE) * (1 + 2 * BOX_MARGIN)
    centres = MASK_STRIDE * (torch.arange(side, device=low.device) + 0.5)
    share = (centres - ((low + high) / 2)[:, None]) / length[:, None] + 0.5  # (N, side): 0..1 over the box with margin
    place = (share * COARSE_SIDE - 0.5).clamp(0, COARSE_SIDE - 1)
    steps = torch.arange(COARSE_SIDE, device=low.device)
    return (1 - (place[:, :, None] - steps).abs()).clamp(min=0)


def inside_boxes(boxes: Tensor, mask_hw: Sequence[int], margin: float = BOX_MARGIN) -> Tensor:
    """Return which pixels at stride 4 have their centre in each box: (N, 4) xyxy in input pixels to (N, h, w) bool.

    Args:
        boxes: N of them.
        mask_hw: h and w.
        margin: of a box's width and height, by which it is enlarged on each side.
    """
    rows, columns = box_sides(boxes, mask_hw, margin)
    return rows[:, :, None] & columns[:, None]


def box_sides(boxes: Tensor, mask_hw: Sequence[int], margin: float = BOX_MARGIN) -> tuple[Tensor, Tensor]:
    """Return which rows (N, h) and columns (N, w) have their centre in each box, both bool; see `inside_boxes`."""
    left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))  # (N, 1) each
    reach_x, reach_y = margin * (right - left), margin * (bottom - top)
    y, x = (MASK_STRIDE * (torch.arange(side, device=boxes.device) + 0.5) for side in mask_hw)
    rows = (y >= top - reach_y) & (y <= bottom + reach_y)
    columns = (x >= left - reach_x) & (x <= right + reach_x)
    return rows, columns
