"""`MaskForm`: the masks of one picture, kept as they were given; one class for each form."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from solov2.masks.crop_rle import decode_crop, encode_crops
from solov2.masks.mask_crop import BoolArray, MaskCrop, trimmed
from solov2.masks.rle import IntArray, Rle, check_rle
from solov2.pixels import Size

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

MAX_IDS = 255  # instances that one byte can tell apart, 0 being none


class MaskForm(ABC):
    """N masks of one picture. What is not given is computed from crops when it is asked for first, and kept.

    Attributes:
        image_hw: (height, width) of the picture.
    """

    image_hw: Size

    @abstractmethod
    def __len__(self) -> int:
        """Return N."""

    @abstractmethod
    def select(self, index: IntArray) -> Self:
        """Return the masks that `index` picks."""

    @abstractmethod
    def make_crops(self) -> list[MaskCrop]:
        """Return each mask inside its bounding box."""

    @cached_property
    def crops(self) -> list[MaskCrop]:
        """Each mask inside its bounding box."""
        return self.make_crops()

    def sampled_crops(self, step: int) -> list[MaskCrop]:
        """Return each mask at every `step`-th row and column of the picture, in units of `step` pixels."""
        return [crop.sampled(step) for crop in self.crops]

    @cached_property
    def masks(self) -> BoolArray:
        """(N, H, W) bool."""
        masks = np.zeros((len(self), *self.image_hw), np.bool_)
        for mask, crop in zip(masks, self.crops, strict=True):
            crop.window(mask)[:] = crop.mask
        return masks

    @cached_property
    def boxes(self) -> FloatArray:
        """(N, 4) float32: left, top, right, bottom in picture px, the last two exclusive; zeros for an empty mask."""
        return np.array([crop.box for crop in self.crops], np.float32).reshape(-1, 4)

    @cached_property
    def areas(self) -> IntArray:
        """(N,) int64: pixels of each mask."""
        return np.array([np.count_nonzero(crop.mask) for crop in self.crops], np.int64)

    @cached_property
    def id_map(self) -> ByteArray:
        """(H, W) uint8: 0 for nothing, k for mask k - 1; the first of overlapping masks wins, 255 are shown."""
        ids = np.zeros(self.image_hw, np.uint8)
        for k in range(min(len(self), MAX_IDS), 0, -1):
            crop = self.crops[k - 1]
            np.copyto(crop.window(ids), np.uint8(k), where=crop.mask)
        return ids

    @cached_property
    def codes(self) -> list[Rle]:
        """COCO's compressed run-length code of each mask."""
        return encode_crops(self.crops, self.image_hw)


class DenseMasks(MaskForm):
    """Masks of the picture's size."""

    def __init__(self, masks: BoolArray) -> None:
        """Keep `masks` (N, H, W) bool, without a copy."""
        self.masks = masks
        self.image_hw = masks.shape[1], masks.shape[2]

    def __len__(self) -> int:
        """Return N."""
        return len(self.masks)

    def select(self, index: IntArray) -> "DenseMasks":
        """Return the masks that `index` picks."""
        return DenseMasks(self.masks[index])

    def make_crops(self) -> list[MaskCrop]:
        """Return views of the masks."""
        return [trimmed(mask) for mask in self.masks]


class CroppedMasks(MaskForm):
    """Masks inside their bounding boxes."""

    def __init__(self, crops: Sequence[MaskCrop], image_hw: Size) -> None:
        """Keep the crops."""
        self._given = list(crops)
        self.image_hw = image_hw

    def __len__(self) -> int:
        """Return N."""
        return len(self._given)

    def make_crops(self) -> list[MaskCrop]:
        """Return the crops as they are."""
        return self._given

    def select(self, index: IntArray) -> "CroppedMasks":
        """Return the masks that `index` picks."""
        return CroppedMasks([self._given[i] for i in index.tolist()], self.image_hw)


class RleMasks(MaskForm):
    """Masks as COCO's run-length codes."""

    def __init__(self, codes: Sequence[Mapping[str, Any]], image_hw: Size) -> None:
        """Keep the codes, compressed if they are not yet.

        Raises:
            ValueError: one is no run-length code, is broken or of another size.
        """
        self.codes = [check_rle(code, image_hw) for code in codes]
        self.image_hw = image_hw

    def __len__(self) -> int:
        """Return N."""
        return len(self.codes)

    def select(self, index: IntArray) -> "RleMasks":
        """Return the masks that `index` picks."""
        return RleMasks([self.codes[i] for i in index.tolist()], self.image_hw)

    def make_crops(self) -> list[MaskCrop]:
        """Decode each mask."""
        return [decode_crop(code) for code in self.codes]
