"""One picture, seen differently every time: mirrored, scaled, moved, recoloured, one of four."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from solov2.data.coco_dataset import Sample
from solov2.decoding.geometry import Size
from solov2.training.targets import GroundTruth
from solov2.variants import PIXEL_MEAN

MIN_VISIBLE_PX = 16  # an instance with fewer pixels left is no longer asked for


@dataclass(frozen=True, slots=True)
class View:
    """How a sample is to be shown.

    Attributes:
        canvas_hw: size of the network's input; multiples of 32.
        resized_hw: size of the whole picture; what does not fit the canvas is cut off, what stays free is padding.
        offset: where the picture lies on the canvas, or the canvas on the picture, in [0, 1] from one end to the
            other (y, x).
        mirrored: left and right are swapped.
        colour_seed: of the change of brightness, contrast, saturation and hue; None leaves the colours.
    """

    canvas_hw: Size
    resized_hw: Size
    offset: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False
    colour_seed: int | None = None


def show(sample: Sample, view: View) -> tuple[Tensor, GroundTruth]:
    """Return the (3, H, W) uint8 canvas and the instances that are still on it."""
    size_wh = view.resized_hw[::-1]
    image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_LINEAR)
    canvas = np.empty((*view.canvas_hw, 3), np.uint8)
    canvas[:] = np.round(PIXEL_MEAN)  # zero once normalised, like the padding at inference
    source, target = _overlap(view)
    canvas[target] = image[source]
    masks = np.zeros((len(sample.masks), *view.canvas_hw), np.uint8)
    for placed, mask in zip(masks, sample.masks, strict=True):
        placed[target] = cv2.resize(mask, size_wh, interpolation=cv2.INTER_LINEAR)[source]
    if view.mirrored:
        canvas, masks = canvas[:, ::-1], masks[:, :, ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(canvas)).permute(2, 0, 1)
    return _recolour(pixels, view.colour_seed), _visible(masks, sample)


def show_four(samples: Sequence[Sample], views: Sequence[View]) -> tuple[Tensor, GroundTruth]:
    """Return a canvas of four quarters, each a sample of its own, and the instances that are on it (a mosaic).

    Args:
        samples: for the quarters, row by row.
        views: of the samples, with canvases of one size: that of a quarter.
    """
    shown = [show(sample, view) for sample, view in zip(samples, views, strict=True)]
    height, width = views[0].canvas_hw
    pixels = torch.empty((3, 2 * height, 2 * width), dtype=torch.uint8)
    counts = [len(truth.labels) for _, truth in shown]
    masks = np.zeros((sum(counts), 2 * height, 2 * width), np.uint8)
    boxes = []
    for quarter, (part, truth) in enumerate(shown):
        top, left = quarter // 2 * height, quarter % 2 * width
        pixels[:, top : top + height, left : left + width] = part
        first = sum(counts[:quarter])
        masks[first : first + counts[quarter], top : top + height, left : left + width] = truth.masks
        boxes.append(truth.boxes + np.array([left, top, left, top], np.float32))
    return pixels, GroundTruth(np.concatenate([truth.labels for _, truth in shown]), np.concatenate(boxes), masks)


def _overlap(view: View) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of the picture that is seen, and where on the canvas it is."""
    source, target = [], []
    for picture, canvas, offset in zip(view.resized_hw, view.canvas_hw, view.offset, strict=True):
        hidden, free = max(picture - canvas, 0), max(canvas - picture, 0)
        start, place = round(hidden * offset), round(free * offset)
        length = min(picture, canvas)
        source.append(slice(start, start + length))
        target.append(slice(place, place + length))
    return (source[0], source[1]), (target[0], target[1])


def _recolour(pixels: Tensor, seed: int | None) -> Tensor:
    if seed is None:
        return pixels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        jittered: Tensor = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.03)(pixels)
    return jittered


def _visible(masks: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], sample: Sample) -> GroundTruth:
    """Return the instances with enough pixels left, and their boxes as the masks now show them."""
    kept = [k for k, mask in enumerate(masks) if cv2.countNonZero(np.ascontiguousarray(mask)) >= MIN_VISIBLE_PX]
    boxes = np.zeros((len(kept), 4), np.float32)
    for box, k in zip(boxes, kept, strict=True):
        ys, xs = np.flatnonzero(masks[k].any(1)), np.flatnonzero(masks[k].any(0))
        box[:] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    return GroundTruth(sample.labels[kept], boxes, np.ascontiguousarray(masks[kept]))
