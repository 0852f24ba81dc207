"""From the network's outputs to instances: points NMS, dynamic convolution, maskness, Matrix NMS, painting."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.config import LEVEL_STRIDES, DecodeConfig
from solov2.image import Geometry
from solov2.matrix_nms import matrix_nms
from solov2.structures import HeadOutputs, Instances

MAX_CANDIDATES = 4000  # more than any trained model yields; bounds the memory that a broken one can take


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every (cell, label) worth a mask, N of them.

    Attributes:
        scores: (N,) float32 category scores.
        labels: (N,) int64.
        kernels: (N, D).
        strides: (N,) float32, input pixels per feature pixel of the candidate's level.
    """

    scores: Tensor
    labels: Tensor
    kernels: Tensor
    strides: Tensor


def points_nms(scores: Tensor) -> Tensor:
    """Zero every score that is not the maximum of the 2x2 window that ends at it: (B, C, S, S) to the same."""
    maxima = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (maxima == scores)


def select_candidates(outputs: HeadOutputs, config: DecodeConfig, labels: list[int] | None = None) -> Candidates:
    """Return the candidates of a batch of one, of all levels.

    Args:
        outputs: of one image.
        config: its `score_threshold` counts.
        labels: keep these only; None keeps all.
    """
    grids = [points_nms(logits.float().sigmoid()) for logits in outputs.category_logits]
    scores = torch.cat([grid[0].flatten(1).T for grid in grids])  # (cells, C)
    kernels = torch.cat([grid[0].flatten(1).T for grid in outputs.kernels])  # (cells, D)
    strides = torch.cat(
        [scores.new_full((grid[0, 0].numel(),), stride) for grid, stride in zip(grids, LEVEL_STRIDES, strict=True)]
    )
    if labels is not None:
        wanted = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        wanted[labels] = True
        scores = scores * wanted
    cells, classes = torch.nonzero(scores > config.score_threshold, as_tuple=True)
    found = scores[cells, classes]
    if len(found) > MAX_CANDIDATES:
        best = found.topk(MAX_CANDIDATES).indices
        cells, classes, found = cells[best], classes[best], found[best]
    return Candidates(found, classes, kernels[cells], strides[cells])


def decode(
    outputs: HeadOutputs, geometry: Geometry, config: DecodeConfig | None = None, labels: list[int] | None = None
) -> Instances:
    """Return the instances of one image.

    A candidate's mask is its kernel applied to the mask features; its score is multiplied by the maskness, the mean probability
    inside the mask, and by the decay of Matrix NMS. Areas and overlaps are computed in float32 whatever the network's precision.

    Args:
        outputs: of one image (batch axis of length 1).
        geometry: of that image.
        config: thresholds; None means the reference's.
        labels: keep these labels only; None keeps all.
    """
    config = config or DecodeConfig()
    candidates = select_candidates(outputs, config, labels)
    if not len(candidates.scores):
        return Instances.empty(geometry)
    features = outputs.mask_features[0]  # (E, h, w)
    probs = (candidates.kernels @ features.flatten(1)).float().sigmoid()  # (N, h*w)
    masks = (probs > config.mask_threshold).float()
    areas = masks.sum(1)
    maskness = (probs * masks).sum(1) / areas.clamp(min=1)
    scores = torch.where(areas > candidates.strides, candidates.scores * maskness, 0)

    order = scores.argsort(descending=True, stable=True)[: config.max_before_nms]
    order = order[scores[order] > 0]
    decayed = matrix_nms(
        masks[order], candidates.labels[order], scores[order], config.method, config.gaussian_sigma
    )
    best = decayed.argsort(descending=True, stable=True)[: config.max_instances]
    best = best[decayed[best] >= config.final_score_threshold]
    kept = order[best]
    return Instances(
        probs[kept].reshape(-1, *features.shape[1:]),
        np.asarray(decayed[best].cpu(), np.float32),
        np.asarray(candidates.labels[kept].cpu(), np.int64),
        geometry,
        config.mask_threshold,
    )
