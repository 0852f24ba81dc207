"""How the picture has moved since the last frame, on the grid of the masks' probabilities."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from app.stream.frames import Picture
from solov2.decoding.geometry import Geometry
from solov2.variants import MASK_STRIDE

FloatArray = npt.NDArray[np.float32]

NOISE_LEVELS = 8.0  # of 255: a pixel that differs by more than that has changed
MIN_SIDE = 16  # of a picture whose motion can be found
FINEST_SCALE = 1  # the flow has a vector for each 2 x 2 cells
SAMPLES = 2  # of the picture for each cell of the grid, along each axis


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The motion from the last frame to this one.

    Attributes:
        map_xy: (h, w, 2) where each cell was in the last frame, as (x, y).
        stillness: (h, w) in [0, 1]: 1 where the picture is what it was there, 0 where it has changed or was uncovered.
    """

    map_xy: FloatArray
    stillness: FloatArray

    def carry(self, plane: FloatArray) -> FloatArray:
        """Return a plane (h, w) of the last frame as it would be in this one; 0 for what comes from outside."""
        return np.asarray(_remap(plane, self.map_xy), np.float32)


class MotionFinder:
    """Finds the motion between the frames that it is given, one after the other, by dense optical flow.

    Source: Kroeger et al. 2016, "Fast optical flow using dense inverse search", in OpenCV.
    """

    def __init__(self) -> None:
        """Know no frame yet."""
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(FINEST_SCALE)
        self._last: Picture | None = None

    def find(self, image: Picture, geometry: Geometry) -> Motion | None:
        """Return the motion since the last call; None for the first frame, another size, or a tiny one.

        Args:
            image: (H, W, 3) uint8 RGB.
            geometry: of the image; the motion is on the grid of its masks.
        """
        last, grey = self._last, _grey_cells(image, geometry)
        self._last = grey
        if last is None or last.shape != grey.shape or min(grey.shape) < MIN_SIDE:
            return None
        flow = self._flow.calc(grey, last, None)  # type: ignore[call-overload]
        rows, columns = grey.shape
        map_xy = np.full((*geometry.mask_hw, 2), -9.0, np.float32)  # the padding comes from outside
        map_xy[:rows, :columns] = flow
        map_xy[:rows, :columns, 0] += np.arange(columns, dtype=np.float32)
        map_xy[:rows, :columns, 1] += np.arange(rows, dtype=np.float32)[:, None]
        carried = _remap(last, map_xy[:rows, :columns])
        changed = cv2.dilate(cv2.absdiff(grey, carried), np.ones((3, 3), np.uint8)).astype(np.float32)
        stillness = np.zeros(geometry.mask_hw, np.float32)
        stillness[:rows, :columns] = np.exp(-np.square(changed / NOISE_LEVELS))
        return Motion(map_xy, stillness)


def _grey_cells(image: Picture, geometry: Geometry) -> Picture:
    """Return the image in grey, with one pixel for each cell of the masks that lies in it."""
    rows, columns = (-(-side // MASK_STRIDE) for side in geometry.resized_hw)
    step = max(1, min(image.shape[0] // rows, image.shape[1] // columns) // SAMPLES)
    grey = np.ascontiguousarray(image[::step, ::step, 1])  # green is most of the brightness
    return np.asarray(cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _remap(plane: MatLike, map_xy: FloatArray) -> MatLike:
    remapped: MatLike = cv2.remap(plane, map_xy, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    return remapped
