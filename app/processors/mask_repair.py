"""Closes small holes of a mask, and leaves out small parts of it that lie apart."""

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

MAX_HOLE = 0.05  # of the mask's area
MAX_STRAY = 0.05  # of the area of the mask's largest part
CLOSED_ABOVE = 0.05  # by how much a closed hole lies above the threshold


def repaired(probs: FloatArray, threshold: float) -> FloatArray:
    """Return mask probabilities (h, w) with small holes closed and small parts left out; the given ones stay as
    they are, and are returned where there is nothing to do."""
    inside = (probs > threshold).view(np.uint8)
    left, top, width, height = cv2.boundingRect(inside)
    if not width:
        return probs
    part = (slice(top, top + height), slice(left, left + width))
    strays, holes = _stray_parts(inside[part]), _holes(inside[part])
    if strays is None and holes is None:
        return probs
    result = probs.copy()
    view = result[part]
    if strays is not None:
        view[strays] = 0
    if holes is not None:
        view[holes] = np.maximum(view[holes], threshold + CLOSED_ABOVE)
    return result


def _stray_parts(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """Return the parts that are small beside the largest one; None where there are none."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    is_stray = areas < MAX_STRAY * areas.max()
    is_stray[0] = False
    return np.asarray(is_stray[parts]) if is_stray.any() else None


def _holes(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """Return the background that is small and does not reach the edge of the box; None where there is none."""
    height, width = mask.shape
    _, parts, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    is_hole = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    is_hole &= stats[:, cv2.CC_STAT_AREA] <= MAX_HOLE * np.count_nonzero(mask)
    is_hole[0] = False  # the mask itself
    return np.asarray(is_hole[parts]) if is_hole.any() else None
