"""One picture, seen differently every time: mirrored, scaled, moved, recoloured, one of four."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from solov2.data.coco_dataset import Sample
from solov2.pixels import Image, Size
from solov2.training.targets import GroundTruth
from solov2.variants import PIXEL_MEAN

COLOUR_CHANGE = 0.4  # of brightness, contrast and saturation, either way
BALANCE_CHANGE = 0.06  # of each channel
NOISE_SHARE, MAX_NOISE = 0.15, 12.0  # of the pictures; standard deviation in levels of 255
JPEG_SHARE, JPEG_QUALITY = 0.15, (25, 80)
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
        colour_seed: of the change of brightness, contrast, saturation and white balance, and of what a camera adds:
            noise and JPEG's blocks; None leaves the colours.
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
    if view.colour_seed is not None:
        canvas = recolour(np.ascontiguousarray(canvas), view.colour_seed)
    return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1))), _visible(masks, sample)


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
    labels, has_mask = (
        np.concatenate([getattr(truth, field) for _, truth in shown]) for field in ("labels", "has_mask")
    )
    return pixels, GroundTruth(labels, np.concatenate(boxes), masks, has_mask)


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


def recolour(image: Image, seed: int) -> Image:
    """Return `image` as another camera might have seen it in another light; the same for the same seed."""
    rng = np.random.default_rng(seed)
    brightness, contrast, saturation = rng.uniform(1 - COLOUR_CHANGE, 1 + COLOUR_CHANGE, 3)
    balance = rng.uniform(1 - BALANCE_CHANGE, 1 + BALANCE_CHANGE, 3)
    levels = np.arange(256)[:, None] * brightness * balance  # (256, 3)
    middle = float(image.mean()) * brightness
    table = np.clip((levels - middle) * contrast + middle, 0, 255).astype(np.uint8)
    changed = cv2.LUT(image, table[None])
    grey = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    changed = cv2.addWeighted(changed, saturation, grey, 1 - saturation, 0)
    if rng.random() < NOISE_SHARE:
        noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(0, MAX_NOISE)
        changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    if rng.random() < JPEG_SHARE:
        _, code = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*JPEG_QUALITY))])
        changed = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return np.asarray(changed, np.uint8)


def _visible(masks: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], sample: Sample) -> GroundTruth:
    """Return the instances with enough pixels left, and their boxes as the masks now show them."""
    kept = [k for k, mask in enumerate(masks) if cv2.countNonZero(np.ascontiguousarray(mask)) >= MIN_VISIBLE_PX]
    boxes = np.zeros((len(kept), 4), np.float32)
    for box, k in zip(boxes, kept, strict=True):
        ys, xs = np.flatnonzero(masks[k].any(1)), np.flatnonzero(masks[k].any(0))
        box[:] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    return GroundTruth(sample.labels[kept], boxes, np.ascontiguousarray(masks[kept]), sample.has_mask[kept])
