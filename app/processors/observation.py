"""What the tracker compares: masks on a coarse grid, up to a hundred times smaller than in the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop

FloatArray = npt.NDArray[np.float64]

MAX_CELLS = 320  # along the picture's long side
SCORE_DIGITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One instance of one frame.

    Attributes:
        category: instances of different categories are never the same.
        score: rounded to `SCORE_DIGITS`.
        mask: at every n-th pixel of every n-th row, in cells of n pixels; empty where the instance has no pixel.
    """

    category: int
    score: float
    mask: MaskCrop

    def centroid(self) -> FloatArray:
        """Return the mean (row, column) of the mask's cells."""
        sums = cv2.moments(np.ascontiguousarray(self.mask.mask).view(np.uint8), binaryImage=True)
        return np.array((self.mask.top + sums["m01"] / sums["m00"], self.mask.left + sums["m10"] / sums["m00"]))

    def moved(self, rows: int, columns: int) -> "Observation":
        """Return the same instance elsewhere."""
        return replace(self, mask=MaskCrop(self.mask.top + rows, self.mask.left + columns, self.mask.mask))


def observations(instances: Instances) -> list[Observation]:
    """Return what the tracker needs of each of `instances`, in their order.

    It does not depend on the form of the masks: what is computed from probabilities equals what is read from codes. An
    instance that covers no cell has the one at the middle of its box.
    """
    step = max(1, -(-max(instances.image_hw) // MAX_CELLS))
    masks = instances.form.sampled_crops(step)
    missed = [number for number, mask in enumerate(masks) if not mask.mask.size]
    for number, crop in zip(missed, instances.select(np.array(missed, int)).crops, strict=True):
        if crop.mask.size:
            masks[number] = _middle_cell(crop, step)
    scores = [round(score, SCORE_DIGITS) for score in instances.scores.tolist()]
    return [Observation(*parts) for parts in zip(instances.labels.tolist(), scores, masks, strict=True)]


def _middle_cell(crop: MaskCrop, step: int) -> MaskCrop:
    height, width = crop.mask.shape
    middle = (crop.top + height // 2) // step, (crop.left + width // 2) // step
    return MaskCrop(*middle, np.ones((1, 1), np.bool_))


def boxes_of(masks: Sequence[MaskCrop]) -> FloatArray:
    """Return (N, 4) left, top, right, bottom in cells."""
    return np.array([mask.box for mask in masks], np.float64).reshape(-1, 4)
