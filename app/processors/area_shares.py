"""Which share of a mask lies in a zone, or on the right side of a line."""

from abc import ABC, abstractmethod

import numpy as np

from app.stream.areas import Area
from solov2.masks.mask_crop import BoolArray, MaskCrop
from solov2.pixels import Size

MIN_FACING = 0.5  # of a mask


class Shares(ABC):
    """Compares masks with one area, which is drawn once for each size of picture."""

    def __init__(self, area: Area) -> None:
        """Draw nothing yet."""
        self.area = area
        self._image_hw: Size = (0, 0)

    def share(self, crop: MaskCrop, image_hw: Size) -> float | None:
        """Return the share of a mask that counts for the area, in [0, 1]; None if it cannot be told.

        Args:
            crop: the mask, not empty.
            image_hw: (height, width) of its picture.
        """
        if image_hw != self._image_hw:
            self._draw(image_hw)
            self._image_hw = image_hw
        return self._share(crop)

    @abstractmethod
    def _draw(self, image_hw: Size) -> None:
        """Prepare for pictures of this size."""

    @abstractmethod
    def _share(self, crop: MaskCrop) -> float | None:
        """Return the share."""


class ZoneShares(Shares):
    """The share of a mask inside a polygon."""

    def _draw(self, image_hw: Size) -> None:
        from skimage.draw import polygon2mask  # OpenCV's fillPoly adds the pixels that an edge only touches

        corners = np.array(self.area.pixels(image_hw)) - 0.5  # the middle of the first pixel is at 0.5
        self._inside: BoolArray = polygon2mask(image_hw, corners[:, ::-1])

    def _share(self, crop: MaskCrop) -> float:
        return int(np.count_nonzero(crop.window(self._inside) & crop.mask)) / int(np.count_nonzero(crop.mask))


class LineShares(Shares):
    """The share of a mask on the right side of a segment, of the pixels that face it.

    A pixel faces the segment if the foot of its perpendicular lies on it. None where less than `MIN_FACING` of the mask
    does: such an instance goes round the end of the line.
    """

    def _draw(self, image_hw: Size) -> None:
        (x1, y1), (x2, y2) = self.area.pixels(image_hw)
        along = x2 - x1, y2 - y1
        xs, ys = np.arange(image_hw[1]) + 0.5 - x1, (np.arange(image_hw[0]) + 0.5 - y1)[:, None]
        place = xs * along[0] + ys * along[1]  # (H, W): 0 at the first point, the squared length at the second
        self._facing = (place >= 0) & (place <= along[0] ** 2 + along[1] ** 2)
        self._right = self._facing & (ys * along[0] - xs * along[1] > 0)

    def _share(self, crop: MaskCrop) -> float | None:
        area, facing, right = (
            int(np.count_nonzero(pixels))
            for pixels in (crop.mask, crop.window(self._facing) & crop.mask, crop.window(self._right) & crop.mask)
        )
        return right / facing if facing >= MIN_FACING * area else None
