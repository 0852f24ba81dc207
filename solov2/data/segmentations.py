"""COCO's ways to write a mask: polygons, and run-length codes compressed or not."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from solov2.data.polygons import polygon_flaw
from solov2.errors import DatasetError, brief
from solov2.masks.rle import check_rle
from solov2.pixels import Size


def mask_of(segmentation: Any, size: Size) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8 zeros and ones for COCO's polygons, or run-length codes compressed or not.

    Raises:
        DatasetError: it is none of these.
    """
    return np.asarray(coco_mask.decode(mask_code(segmentation, size)), np.uint8)


def mask_code(segmentation: Any, size: Size) -> dict[str, Any]:
    """Return the compressed run-length code of COCO's polygons or run-length codes.

    Raises:
        DatasetError: it is none of these.
    """
    flaw = segmentation_flaw(segmentation, size)
    if flaw:
        raise DatasetError(f"not a COCO segmentation: it {flaw}")
    if isinstance(segmentation, dict):
        return check_rle(segmentation, size)
    return dict(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size)))


def segmentation_flaw(segmentation: Any, size: Size) -> str | None:
    """Return what is wrong with COCO's polygons or run-length code, as the end of a sentence; None if nothing is."""
    if isinstance(segmentation, dict):
        try:
            check_rle(segmentation, size)
        except ValueError as error:
            return f"has a broken mask: {error}"
        return None
    if not segmentation:
        return "has no mask, only a box"
    if not isinstance(segmentation, list):
        return f"has neither polygons nor a run-length code, but {brief(segmentation)}"
    flaws = (polygon_flaw(polygon, size) for polygon in segmentation)
    return next((f"has {flaw}" for flaw in flaws if flaw), None)
