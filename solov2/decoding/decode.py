"""From the network's outputs to instances: points NMS, dynamic convolution, maskness, Matrix NMS, painting."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry, axis_on
from solov2.decoding.matrix_nms import matrix_nms
from solov2.instances import MAX_IDS, Instances
from solov2.network.outputs import HeadOutputs
from solov2.variants import LEVEL_STRIDES

MAX_CANDIDATES = 4000  # more than any trained model yields; bounds the memory that a broken one can take
DEVICE_SLOTS = 1024  # candidates that are looked at on an accelerator, where shapes must not depend on the picture
PAINTED_AT_ONCE = 10  # masks enlarged to the picture's size at a time


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


def select_candidates(
    outputs: HeadOutputs, config: DecodeConfig, labels: tuple[int, ...] | None = None, slots: int | None = None
) -> Candidates:
    """Return the candidates of a batch of one, of all levels.

    Args:
        outputs: of one image.
        config: its `score_threshold` counts.
        labels: keep these only; None keeps all.
        slots: return this many, the best ones, with score 0 where there are fewer. The device need not be waited for
            then. None returns as many as there are.
    """
    grids = [points_nms(logits.float().sigmoid()) for logits in outputs.category_logits]
    scores = torch.cat([grid[0].flatten(1).T for grid in grids])  # (cells, C)
    kernels = torch.cat([grid[0].flatten(1).T for grid in outputs.kernels])  # (cells, D)
    strides = torch.cat(
        [scores.new_full((grid[0, 0].numel(),), stride) for grid, stride in zip(grids, LEVEL_STRIDES, strict=True)]
    )
    if labels is not None:
        scores = scores * _wanted_labels(labels, scores.shape[1], scores.device)
    scores = torch.where(scores > config.score_threshold, scores, 0)  # not a number counts as below
    flat = scores.flatten()
    if slots is None:
        places = torch.nonzero(flat)[:, 0]
        if len(places) > MAX_CANDIDATES:
            places = flat.topk(MAX_CANDIDATES).indices.sort().values
    else:
        places = flat.topk(min(slots, len(flat))).indices
    cells, classes = places // scores.shape[1], places % scores.shape[1]
    return Candidates(flat[places], classes, kernels[cells], strides[cells])


@lru_cache(maxsize=32)
def _wanted_labels(labels: tuple[int, ...], num_classes: int, device: torch.device) -> Tensor:
    wanted = torch.zeros(num_classes, dtype=torch.bool)
    wanted[list(labels)] = True
    return wanted.to(device)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates after Matrix NMS, best first, K of them; score 0 where one did not reach the final threshold.

    Attributes:
        probs: (K, h, w) float32.
        scores: (K,) float32.
        labels: (K,) int64.
    """

    probs: Tensor
    scores: Tensor
    labels: Tensor


def rank(candidates: Candidates, features: Tensor, config: DecodeConfig) -> Ranked:
    """Give each candidate its mask and its final score, and order them. No step waits for the device.

    A candidate's mask is its kernel applied to the mask features; its score is multiplied by the maskness, the mean
    probability inside the mask, and by the decay of Matrix NMS. Areas and overlaps are computed in float32 whatever
    the network's precision.

    Args:
        candidates: N of them.
        features: (E, h, w) mask features.
        config: thresholds.
    """
    probs = (candidates.kernels @ features.flatten(1)).float().sigmoid()  # (N, h*w)
    masks = (probs > config.mask_threshold).float()
    areas = masks.sum(1)
    maskness = (probs * masks).sum(1) / areas.clamp(min=1)
    scores = torch.where(areas > candidates.strides, candidates.scores * maskness, 0)

    order = scores.argsort(descending=True, stable=True)[: config.max_before_nms]
    labels = candidates.labels[order]
    decayed = matrix_nms(masks[order], labels, scores[order], config.method, config.gaussian_sigma)
    best = decayed.argsort(descending=True, stable=True)[: config.max_instances]
    final = decayed[best]
    final = final * (final >= config.final_score_threshold)
    return Ranked(probs[order[best]].reshape(-1, *features.shape[1:]), final, labels[best])


def decode(
    outputs: HeadOutputs,
    geometry: Geometry,
    config: DecodeConfig | None = None,
    labels: tuple[int, ...] | None = None,
) -> Instances:
    """Return the instances of one image.

    Args:
        outputs: of one image (batch axis of length 1).
        geometry: of that image.
        config: thresholds; None means the reference's.
        labels: keep these labels only; None keeps all.
    """
    return decode_batch(outputs, geometry, config, labels)[0]


def decode_batch(
    outputs: HeadOutputs,
    geometry: Geometry,
    config: DecodeConfig | None = None,
    labels: tuple[int, ...] | None = None,
) -> list[Instances]:
    """Return the instances of each image of a batch whose images share one geometry; otherwise as `decode`."""
    config = config or DecodeConfig()
    images = [outputs.of_image(i) for i in range(len(outputs.mask_features))]
    if outputs.mask_features.is_cuda:
        return decode_on_device(images, geometry, config, labels)
    return [_decode_on_host(image, geometry, config, labels) for image in images]


def _decode_on_host(
    outputs: HeadOutputs, geometry: Geometry, config: DecodeConfig, labels: tuple[int, ...] | None
) -> Instances:
    ranked = rank(select_candidates(outputs, config, labels), outputs.mask_features[0], config)
    count = int(torch.count_nonzero(ranked.scores))
    return Instances(
        ranked.probs[:count],
        ranked.scores[:count].numpy(),
        ranked.labels[:count].numpy(),
        geometry,
        config.mask_threshold,
    )


def decode_on_device(
    images: Sequence[HeadOutputs], geometry: Geometry, config: DecodeConfig, labels: tuple[int, ...] | None = None
) -> list[Instances]:
    """Return the instances of images of one geometry as `decode` does, waiting for the device exactly once.

    Every shape is fixed: `DEVICE_SLOTS` candidates, `max_instances` results, most of them empty. Boxes and the id map
    are painted on the device too, so that scores, labels, boxes and one byte a pixel are all that travels.
    """
    queued = []
    for outputs in images:
        features = outputs.mask_features
        ranked = rank(select_candidates(outputs, config, labels, DEVICE_SLOTS), features[0], config)
        boxes, id_map = paint(ranked.probs, ranked.scores, geometry, config.mask_threshold, features.dtype)
        host = [tensor.to("cpu", non_blocking=True) for tensor in (ranked.scores, ranked.labels, boxes, id_map)]
        queued.append((ranked.probs, host))
    if images and images[0].mask_features.is_cuda:
        torch.cuda.current_stream(images[0].mask_features.device).synchronize()
    found = []
    for probs, host in queued:
        scores, found_labels, found_boxes, found_ids = (tensor.numpy() for tensor in host)
        count = int(np.count_nonzero(scores))
        one = Instances(probs[:count], scores[:count], found_labels[:count], geometry, config.mask_threshold)
        found.append(one.with_painting(found_boxes[:count], found_ids))
    return found


def paint(
    probs: Tensor, scores: Tensor, geometry: Geometry, threshold: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the boxes (K, 4) float32 and the id map (H, W) uint8 of `probs` (K, h, w), computed on their device.

    Planes of the picture's size exist for a few instances at a time only, the worst ones first, so that better ones
    cover them.

    Args:
        probs: best first; those after the first 255 get a box only.
        scores: (K,); a mask with score 0 is not painted.
        geometry: of the picture.
        threshold: a pixel belongs to a mask above it.
        dtype: precision in which the masks are enlarged.
    """
    rows, columns = (axis_on(axis, probs.device, dtype) for axis in (geometry.rows, geometry.columns))
    height, width = geometry.image_hw
    ids = torch.zeros(height, width, dtype=torch.uint8, device=probs.device)
    boxes = torch.zeros(len(probs), 4, device=probs.device)
    for first in reversed(range(0, len(probs), PAINTED_AT_ONCE)):
        part = slice(first, first + PAINTED_AT_ONCE)
        masks = (rows @ probs[part].to(dtype) @ columns.T) > threshold  # (k, H, W)
        masks &= (scores[part] > 0)[:, None, None]
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
