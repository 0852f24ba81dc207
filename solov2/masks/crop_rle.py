"""A mask's run-length code from and to its crop, without a plane of the picture's size."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from solov2.masks.mask_crop import EMPTY, MaskCrop, trimmed
from solov2.masks.rle import IntArray, compress, run_lengths


def encode_crop(crop: MaskCrop, image_hw: tuple[int, int]) -> dict[str, Any]:
    """Return COCO's compressed code, {"size": [H, W], "counts": str}, byte for byte as pycocotools does."""
    return {"size": list(image_hw), "counts": compress(runs_of(crop, image_hw))}


def runs_of(crop: MaskCrop, image_hw: tuple[int, int]) -> IntArray:
    """Return the runs of a mask: (M,) int64 pixel counts down the columns of the picture, background first."""
    height, width = image_hw
    box_height, box_width = crop.mask.shape
    bordered = np.zeros((box_width, box_height + 2), np.bool_)
    bordered[:, 1:-1] = crop.mask.T
    changes = np.flatnonzero(bordered[:, 1:] != bordered[:, :-1])
    columns, rows = np.divmod(changes, box_height + 1)
    edges = (crop.left + columns) * height + crop.top + rows  # begin, end, begin, end, ...
    goes_on = edges[1:-1:2] == edges[2::2]  # from the bottom of a column into the next one
    kept = np.ones(len(edges), np.bool_)
    kept[1:-1:2] = kept[2::2] = ~goes_on
    lengths = np.diff(edges[kept], prepend=0, append=height * width)
    return lengths if lengths[-1] or len(lengths) == 1 else lengths[:-1]


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
