"""The operations of OpenCV that the model needs, by NumPy where OpenCV is not installed, with the same results."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

try:
    import cv2
except ModuleNotFoundError:
    cv2 = None  # type: ignore[assignment]

_WEIGHT_BITS = 11  # of OpenCV's fixed-point weights
_NO_SUMMAND = np.zeros((0, 0), np.float32)  # of a matrix product

Image = npt.NDArray[np.uint8]
Size = tuple[int, int]  # (height, width)
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


def resize_bilinear(image: Image, size_hw: Size) -> Image:
    """Return (H, W, C) uint8 `image` at another size, as OpenCV's INTER_LINEAR does, to the last bit.

    NumPy takes some ten times as long.
    """
    if cv2 is None:
        return resize_by_numpy(image, size_hw)
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def bounding_rect(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the True pixels of (H, W) `mask`; zeros where there is none."""
    if cv2 is None:
        return bounding_rect_by_numpy(mask)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left, top, width, height


def transpose(plane: Image) -> Image:
    """Return (W, H) uint8 of (H, W), laid out row by row."""
    return np.ascontiguousarray(plane.T) if cv2 is None else np.asarray(cv2.transpose(plane), np.uint8)


def multiply(left: FloatArray, right: FloatArray, transpose_right: bool = False) -> FloatArray:
    """Return the product of two float32 matrices, of the transposed second one if that is asked for.

    OpenCV computes it in the calling thread, NumPy in its BLAS library's; sums may differ in their last bit.
    """
    if cv2 is None:
        return left @ (right.T if transpose_right else right)
    flags = cv2.GEMM_2_T if transpose_right else 0
    return np.asarray(cv2.gemm(left, right, 1, _NO_SUMMAND, 0, flags=flags), np.float32)


def resize_by_numpy(image: Image, size_hw: Size) -> Image:
    """Do what `resize_bilinear` does, without OpenCV.

    The columns are mixed first, with integer weights that add up to 2,048, then the rows; as in OpenCV, bits are
    dropped before and after the second product, and halving both sides exactly is the mean of four pixels.

    Source: OpenCV, modules/imgproc/src/resize.cpp.
    """
    image_hw = (image.shape[0], image.shape[1])
    if image_hw == (2 * size_hw[0], 2 * size_hw[1]):
        corners = np.stack([image[y::2, x::2] for y in (0, 1) for x in (0, 1)])
        mean: Image = ((corners.sum(0, dtype=np.int32) + 2) >> 2).astype(np.uint8)
        return mean
    tops, bottoms, row_weights = _taps(image_hw[0], size_hw[0])
    lefts, rights, column_weights = _taps(image_hw[1], size_hw[1])
    used, places = np.unique(np.concatenate([tops, bottoms]), return_inverse=True)
    rows = image[used].astype(np.int32)  # (used rows, W, C)
    mixed = rows[:, lefts] * column_weights[0][:, None] + rows[:, rights] * column_weights[1][:, None]
    upper, lower = mixed[places[: len(tops)]] >> 4, mixed[places[len(tops) :]] >> 4
    upper, lower = (
        part * weight[:, None, None] >> 16 for part, weight in ((upper, row_weights[0]), (lower, row_weights[1]))
    )
    resized: Image = ((upper + lower + 2) >> 2).clip(0, 255).astype(np.uint8)
    return resized


@lru_cache(maxsize=32)
def _taps(old_px: int, new_px: int) -> tuple[IntArray, IntArray, tuple[IntArray, IntArray]]:
    """Return for each new pixel of an axis the two old ones that it is mixed of, and their weights of 2,048."""
    places = ((np.arange(new_px) + 0.5) * (1 / (np.float64(new_px) / old_px)) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int32)
    share = places - first.astype(np.float32)
    one = np.float32(1 << _WEIGHT_BITS)
    weights = np.rint((1 - share) * one).astype(np.int32), np.rint(share * one).astype(np.int32)
    return first.clip(0, old_px - 1), (first + 1).clip(0, old_px - 1), weights


def bounding_rect_by_numpy(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Do what `bounding_rect` does, without OpenCV."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
