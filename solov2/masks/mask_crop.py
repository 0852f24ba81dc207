"""`MaskCrop`: one mask inside its bounding box."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solov2.pixels import bounding_rect

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """The part of one mask inside its bounding box.

    Attributes:
        top, left: of the box, picture pixels.
        mask: (box height, box width) bool; empty where the instance has no pixel in the picture.
    """

    top: int
    left: int
    mask: BoolArray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in picture pixels, the last two exclusive; zeros for an empty mask."""
        height, width = self.mask.shape
        return self.left, self.top, self.left + width, self.top + height

    def window(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the view of `plane` (H, W) that lies inside the box."""
        height, width = self.mask.shape
        return plane[self.top : self.top + height, self.left : self.left + width]

    def sampled(self, step: int) -> "MaskCrop":
        """Return the mask at every `step`-th row and column of the picture, in units of `step` pixels.

        The result is empty where the mask covers none of these pixels.
        """
        thinned = self.mask[-self.top % step :: step, -self.left % step :: step]
        return trimmed(thinned, -(-self.top // step), -(-self.left // step))


EMPTY = MaskCrop(0, 0, np.zeros((0, 0), np.bool_))


def trimmed(mask: BoolArray, top: int = 0, left: int = 0) -> MaskCrop:
    """Return `mask`, whose first pixel is at (top, left), without the rows and columns around it that are empty."""
    if not mask.size:
        return EMPTY
    mask = np.ascontiguousarray(mask)
    x, y, width, height = bounding_rect(mask)
    return MaskCrop(top + y, left + x, mask[y : y + height, x : x + width]) if width else EMPTY
