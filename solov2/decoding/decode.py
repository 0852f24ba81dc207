"""From the network's outputs to instances: points NMS, dynamic convolution, maskness, Matrix NMS."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry
from solov2.decoding.mask_logits import box_sides, mask_logits
from solov2.decoding.matrix_nms import matrix_nms
from solov2.instances import Instances
from solov2.network.outputs import HeadOutputs

MAX_CANDIDATES = 4000  # more than any trained model yields; bounds the memory that a broken one can take
MAX_DENSE_CANDIDATES = 200  # of heads that predict boxes, whose grids are finer: an object has several candidates


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every (cell, label) worth a mask, N of them.

    Attributes:
        scores: (N,) float32 category scores.
        labels: (N,) int64.
        kernels: (N, D).
        strides: (N,) float32, input pixels per feature pixel of the candidate's level.
        boxes: (N, 4) float32 xyxy in input pixels, where the head predicts them.
    """

    scores: Tensor
    labels: Tensor
    kernels: Tensor
    strides: Tensor
    boxes: Tensor | None = None


def points_nms(scores: Tensor) -> Tensor:
    """Zero every score that is not the maximum of the 2x2 window that ends at it: (B, C, S, S) to the same."""
    maxima = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (maxima == scores)


def select_candidates(outputs: HeadOutputs, config: DecodeConfig, labels: tuple[int, ...] | None = None) -> Candidates:
    """Return the candidates of a batch of one, of all levels.

    Args:
        outputs: of one image.
        config: its `score_threshold` counts.
        labels: keep these only; None keeps all.
    """
    flat = _candidate_scores(outputs, config, labels)
    places = torch.nonzero(flat)[:, 0]
    limit = MAX_CANDIDATES if outputs.boxes is None else MAX_DENSE_CANDIDATES
    if len(places) > limit:
        places = flat.topk(limit).indices.sort().values
    return _candidates_at(outputs, flat, places)


def top_candidates(outputs: HeadOutputs, config: DecodeConfig, count: int) -> tuple[Candidates, Tensor]:
    """Return the `count` best candidates of a batch of one, and how many are above the threshold: () int64.

    The number is always the same, so that other libraries can run it: where fewer are above the threshold, the others
    have the score 0. While `count` is not exceeded, they lead to the same instances as `select_candidates`.
    """
    flat = _candidate_scores(outputs, config, None)
    places = flat.topk(min(count, len(flat))).indices
    return _candidates_at(outputs, flat, places), (flat > 0).sum()


def _candidate_scores(outputs: HeadOutputs, config: DecodeConfig, labels: tuple[int, ...] | None) -> Tensor:
    """Return the score of each (cell, label), (cells * C,), 0 for those that are no candidates."""
    grids = [points_nms(logits.float().sigmoid()) for logits in outputs.category_logits]
    scores = torch.cat([grid[0].flatten(1).T for grid in grids])  # (cells, C)
    if labels is not None:
        scores = scores * _wanted_labels(labels, scores.shape[1], scores.device)
    # Maskness and decay only lower a score, and decay comes from better ones: what begins below the final threshold
    # is not found, and changes nothing that is. NaN compares false, so it is dropped.
    is_candidate = (scores > config.score_threshold) & (scores >= config.final_score_threshold)
    return torch.where(is_candidate, scores, 0).flatten()


def _candidates_at(outputs: HeadOutputs, scores: Tensor, places: Tensor) -> Candidates:
    """Return the candidates at `places` of the flat scores."""
    num_classes = outputs.category_logits[0].shape[1]
    cells, classes = places // num_classes, places % num_classes
    kernels = torch.cat([level[0].flatten(1).T for level in outputs.kernels])  # (cells, D)
    strides = torch.cat(
        [
            scores.new_full((level[0, 0].numel(),), stride)
            for level, stride in zip(outputs.category_logits, outputs.strides, strict=True)
        ]
    )
    boxes = None
    if outputs.boxes is not None:
        boxes = torch.cat([level[0].flatten(1).T for level in outputs.boxes])[cells]
    return Candidates(scores[places], classes, kernels[cells], strides[cells], boxes)


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

    A candidate's mask is its kernel applied to the mask features, cut to its box where it has one; its score is
    multiplied by the maskness, the mean probability inside the mask, and by the decay of Matrix NMS. Areas and overlaps
    are computed in float32 whatever the network's precision.

    Args:
        candidates: N of them.
        features: (E, h, w) mask features.
        config: thresholds.
    """
    probs = mask_logits(candidates.kernels, features, candidates.boxes).sigmoid_()  # (N, h, w)
    if candidates.boxes is not None:
        rows, columns = box_sides(candidates.boxes, features.shape[1:])
        probs.mul_(rows[:, :, None].float()).mul_(columns[:, None].float())  # with bool both would be far slower
    probs = probs.flatten(1)  # (N, h*w)
    masks = (probs > config.mask_threshold).float()
    areas = masks.sum(1)
    maskness = (probs * masks).sum(1) / areas.clamp(min=1)
    scores = torch.where(areas > candidates.strides, candidates.scores * maskness, 0)

    order = descending_order(scores)[: config.max_before_nms]
    if not (torch.compiler.is_exporting() or scores.is_cuda):  # both want a size that does not depend on the values
        order = order[: int((scores[order] >= config.final_score_threshold).sum())]  # as in `_candidate_scores`
    labels = candidates.labels[order]
    decayed = matrix_nms(masks[order], labels, scores[order], config.method, config.gaussian_sigma)
    best = descending_order(decayed)[: config.max_instances]
    final = decayed[best]
    final = final * (final >= config.final_score_threshold)
    return Ranked(probs[order[best]].reshape(-1, *features.shape[1:]), final, labels[best])


def descending_order(scores: Tensor) -> Tensor:
    """Return the indices that sort (N,) scores, the best first, and equal ones in their order.

    ONNX has no stable sort, but its TopK puts the first of equal ones first.
    """
    if torch.compiler.is_exporting():
        return scores.topk(len(scores)).indices
    return scores.argsort(descending=True, stable=True)


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
    return [_decode_image(image, geometry, config, labels) for image in images]


def _decode_image(
    outputs: HeadOutputs, geometry: Geometry, config: DecodeConfig, labels: tuple[int, ...] | None
) -> Instances:
    """Return the instances of a batch of one.

    Work on CUDA is sized to what was found: the device is waited for when the candidates are counted, which is when the
    network's work ends anyway, and once more when the few final scores are read. Fixed shapes would need one wait less,
    but a thousand candidates and a hundred masks of the picture's size for every picture.
    """
    ranked = rank(select_candidates(outputs, config, labels), outputs.mask_features[0], config)
    scores = ranked.scores.cpu().numpy()
    count = int(np.count_nonzero(scores))
    found_labels = ranked.labels[:count].cpu().numpy()
    return Instances.from_probs(ranked.probs[:count], scores[:count], found_labels, geometry, config.mask_threshold)
