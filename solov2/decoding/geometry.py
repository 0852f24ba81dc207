"""From a picture to the network's input, and the way back from stride-4 masks to the picture's own pixels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from solov2.pixels import Image, Size, resize_bilinear
from solov2.variants import MASK_STRIDE, PIXEL_MEAN, PIXEL_STD, SIZE_DIVISOR


@dataclass(frozen=True, slots=True)
class Geometry:
    """The three sizes of one picture on its way through the network, each (height, width) in pixels.

    Attributes:
        image_hw: of the picture itself.
        resized_hw: after the keep-ratio resize.
        padded_hw: after padding right and bottom to a multiple of 32: the network's input.
    """

    image_hw: Size
    resized_hw: Size
    padded_hw: Size

    @classmethod
    def fit(cls, image_hw: Size, long_px: int, short_px: int) -> "Geometry":
        """Return the geometry of a picture whose sides may be at most `long_px` and `short_px` in the network."""
        scale = min(long_px / max(image_hw), short_px / min(image_hw))
        height, width = (max(int(side * scale + 0.5), 1) for side in image_hw)
        padded_hw = (pad_to_multiple(height), pad_to_multiple(width))
        return cls(image_hw, (height, width), padded_hw)

    @property
    def mask_hw(self) -> Size:
        """(h, w) of the mask probabilities at stride 4."""
        return self.padded_hw[0] // MASK_STRIDE, self.padded_hw[1] // MASK_STRIDE

    @property
    def rows(self) -> "Axis":
        """The way back from stride 4 to the picture, along its height."""
        return find_axis(self.image_hw[0], self.resized_hw[0], self.padded_hw[0])

    @property
    def columns(self) -> "Axis":
        """The way back from stride 4 to the picture, along its width."""
        return find_axis(self.image_hw[1], self.resized_hw[1], self.padded_hw[1])


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """How stride-4 values become picture values along one axis.

    The reference enlarges mask probabilities four times, cuts the padding off and resizes to the picture, both
    bilinearly. Each step is linear and works on one axis at a time, so the whole way is `rows @ probs @ columns.T`,
    and any rectangle of the picture can be had without the rest.

    Attributes:
        matrix: (lines, taps) float32; lines are the picture's rows or columns, taps those of stride 4.
        first_tap, last_tap: (lines,) int64, the taps that each line depends on; both rise with the line.
    """

    matrix: npt.NDArray[np.float32]
    first_tap: npt.NDArray[np.int64]
    last_tap: npt.NDArray[np.int64]

    def reach(self, begin: int, end: int, step: int = 1) -> tuple[slice, slice]:
        """Return every `step`-th line that depends on any tap in [begin, end), and all their taps."""
        start = -(-int(np.searchsorted(self.last_tap, begin, "left")) // step) * step
        stop = int(np.searchsorted(self.first_tap, end - 1, "right"))
        if start >= stop:
            return slice(0, 0), slice(0, 0)
        return slice(start, stop, step), slice(int(self.first_tap[start]), int(self.last_tap[stop - 1]) + 1)


@lru_cache(maxsize=32)
def find_axis(picture_px: int, resized_px: int, padded_px: int) -> Axis:
    """Return the axis of a picture that was resized and padded to these lengths."""
    basis = torch.eye(padded_px // MASK_STRIDE)[None]  # (1, taps, taps): one unit vector per row
    enlarged = F.interpolate(basis, scale_factor=MASK_STRIDE, mode="linear", align_corners=False)[..., :resized_px]
    picture = F.interpolate(enlarged, size=picture_px, mode="linear", align_corners=False)
    matrix = np.ascontiguousarray(picture[0].T.numpy())
    used = matrix != 0
    return Axis(matrix, used.argmax(1), used.shape[1] - 1 - used[:, ::-1].argmax(1))


@lru_cache(maxsize=32)
def axis_on(axis: Axis, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the axis' (lines, taps) matrix on `device`; it travels there once."""
    return torch.from_numpy(axis.matrix).to(device, dtype)


def pad_to_multiple(side_px: int, divisor: int = SIZE_DIVISOR) -> int:
    """Return the smallest multiple of `divisor` that is at least `side_px`."""
    return -(-side_px // divisor) * divisor


def check_image(image: Image) -> Image:
    """Return `image` as it is, or say what is wrong with it.

    Raises:
        ValueError: it is not a (H, W, 3) uint8 array with at least one pixel.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        got = f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"image must be a (H, W, 3) uint8 RGB array, got {got}")
    return image


def preprocess(image: Image, geometry: Geometry, device: torch.device) -> Tensor:
    """Return the network's input for one picture: (3, H, W) float32 on `device`, normalised and padded with zeros.

    On the CPU the resizing is OpenCV's, as in the reference; on another device the bytes travel once and are resized
    there, which differs from OpenCV's fixed-point arithmetic by at most one level in 255.
    """
    pixels = torch.zeros(3, *geometry.padded_hw, device=device)
    height, width = geometry.resized_hw
    picture = pixels[:, :height, :width]  # a view: no other copy in float32 is made
    picture.copy_(_resized(image, geometry, device))
    mean, std = normalisation(device)
    picture.sub_(mean).div_(std)
    return pixels


def _resized(image: Image, geometry: Geometry, device: torch.device) -> Tensor:
    """Return the picture at its size in the network, (3, h, w) on `device`, in levels from 0 to 255."""
    if device.type == "cpu":
        if geometry.resized_hw != geometry.image_hw:
            image = resize_bilinear(image, geometry.resized_hw)
        return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    upload = torch.from_numpy(np.ascontiguousarray(image))
    if device.type == "cuda":
        upload = upload.pin_memory()
    levels = upload.to(device, non_blocking=True).permute(2, 0, 1).float()
    if geometry.resized_hw == geometry.image_hw:
        return levels
    return F.interpolate(levels[None], size=geometry.resized_hw, mode="bilinear", align_corners=False)[0].round()


@lru_cache(maxsize=8)
def normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the pixels' mean and standard deviation, (3, 1, 1) each, on `device`; they travel there once."""
    mean = torch.tensor(PIXEL_MEAN, device=device)[:, None, None]
    std = torch.tensor(PIXEL_STD, device=device)[:, None, None]
    return mean, std
