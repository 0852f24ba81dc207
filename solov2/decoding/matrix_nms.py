"""Matrix NMS: scores decay with the overlap of better masks, all at once."""

from typing import Literal

import torch
from torch import Tensor

BANDS = 16  # of a picture's rows
MAX_BAND_SHARE = 0.7  # of the masks: where more have pixels in a band, all of them are multiplied


def matrix_nms(
    masks: Tensor,
    labels: Tensor,
    scores: Tensor,
    method: Literal["gaussian", "linear"] = "gaussian",
    gaussian_sigma: float = 2.0,
) -> Tensor:
    """Return `scores` after the decay that better masks of the same label impose.

    decay_j = min over better i of f(iou_ij) / f(max over k better than i of iou_ki), where f is exp(-sigma * iou^2) or
    1 - iou. The denominator forgives overlaps with an i that is itself suppressed.

    Args:
        masks: (N, P) float32 of zeros and ones, sorted by falling score. Float32 because areas need exact integers up
            to 2^24.
        labels: (N,) int64.
        scores: (N,) float32, falling.
        method: the shape of f (elsewhere: kernel).
        gaussian_sigma: sigma of the Gaussian f.

    Returns:
        (N,) float32, each in [0, scores]; the best score of each label is unchanged.

    Source: Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation" (2020), section 3.3; elsewhere
    mask_matrix_nms.
    """
    if not len(scores):
        return scores
    intersections = count_common_pixels(masks)  # (N, N)
    areas = masks.sum(1)
    unions = areas[:, None] + areas[None, :] - intersections
    same_label = labels[:, None] == labels[None, :]
    ious = (intersections / unions.clamp(min=1)).triu(diagonal=1) * same_label  # [i, j]: i better than j
    suppressed = ious.amax(0)[:, None]  # (N, 1): how much i itself is covered
    if method == "gaussian":
        decay = torch.exp(gaussian_sigma * (suppressed.square() - ious.square()))
    else:
        decay = (1 - ious) / (1 - suppressed).clamp(min=torch.finfo(ious.dtype).eps)
    return scores * decay.amin(0)  # at most 1: the best of all suppresses with f(iou) / f(0)


def count_common_pixels(masks: Tensor) -> Tensor:
    """Return how many pixels each pair of masks shares: (N, P) float32 of zeros and ones to (N, N), exact.

    On the CPU the pixels are taken in bands, and in each only the masks that have pixels there are multiplied: a tenth
    of the work where masks reach over a third of the picture's height. Elsewhere, and in exported graphs, shapes must
    not depend on values, so it is one product.
    """
    if masks.is_cuda or torch.compiler.is_exporting():
        return masks @ masks.T
    total = masks.new_zeros(len(masks), len(masks))
    for band in masks.chunk(BANDS, 1):
        present = torch.nonzero(band.amax(1))[:, 0]
        if len(present) > MAX_BAND_SHARE * len(masks):
            total.addmm_(band, band.T)
        elif len(present):
            part = band[present]
            total[present[:, None], present] += part @ part.T
    return total
