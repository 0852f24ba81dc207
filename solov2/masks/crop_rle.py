"""A mask's run-length code from and to its crop, without a plane of the picture's size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from solov2.masks.mask_crop import EMPTY, MaskCrop, trimmed
from solov2.masks.rle import IntArray, Rle, run_lengths
from solov2.pixels import Size, transpose


def encode_crops(crops: Sequence[MaskCrop], image_hw: Size) -> list[Rle]:
    """Return COCO's compressed code of each mask, byte for byte as pycocotools encodes its plane.

    pycocotools only writes the text here, in a tenth of the time that `compress` takes.
    """
    from pycocotools import mask as coco_mask

    if not crops:
        return []
    runs = [{"size": list(image_hw), "counts": runs_of(crop, image_hw)} for crop in crops]
    codes = coco_mask.frPyObjects(runs, *image_hw)
    return [{"size": list(image_hw), "counts": code["counts"].decode("ascii")} for code in codes]


def runs_of(crop: MaskCrop, image_hw: Size) -> IntArray:
    """Return the runs of a mask: (M,) int64 pixel counts down the columns of the picture, background first."""
    height, width = image_hw
    box_height, box_width = crop.mask.shape
    line = np.zeros(1 + box_width * (box_height + 1), np.uint8)  # the box's columns, a zero before and behind each
    if crop.mask.size:
        columns = transpose(crop.mask.view(np.uint8))
        line[1:].reshape(box_width, box_height + 1)[:, :-1] = columns
    changes = np.flatnonzero(line[1:] != line[:-1])
    numbers, rows = np.divmod(changes, box_height + 1)
    edges = (crop.left + numbers) * height + crop.top + rows  # begin, end, begin, end, ...
    goes_on = edges[1:-1:2] == edges[2::2]  # from the bottom of a column into the next one
    if goes_on.any():
        kept = np.ones(len(edges), np.bool_)
        kept[1:-1:2] = kept[2::2] = ~goes_on
        edges = edges[kept]
    runs = np.diff(edges, prepend=0, append=height * width)
    return runs if runs[-1] or len(runs) == 1 else runs[:-1]


def decode_crop(code: Mapping[str, Any]) -> MaskCrop:
    """Return the mask of a compressed code that `check_rle` returned."""
    height = int(code["size"][0])
    runs = run_lengths(code["counts"])
    edges = np.cumsum(runs[: len(runs) // 2 * 2])
    begins, ends = edges.reshape(-1, 2).T
    has_pixels = ends > begins
    begins, ends = begins[has_pixels], ends[has_pixels]
    if not len(begins):
        return EMPTY
    left, right = int(begins[0]) // height, -(-int(ends[-1]) // height)
    edges = np.stack([begins, ends], 1).reshape(-1)
    lengths = np.diff(edges, prepend=left * height, append=right * height)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(right - left, height)
    crop = trimmed(columns.T, 0, left)
    return MaskCrop(crop.top, crop.left, np.ascontiguousarray(crop.mask))
