"""`Instances`: what was found in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from solov2.masks.mask_crop import BoolArray, MaskCrop
from solov2.masks.mask_form import ByteArray, CroppedMasks, DenseMasks, FloatArray, MaskForm, RleMasks
from solov2.masks.rle import IntArray, Rle
from solov2.pixels import Size

if TYPE_CHECKING:
    from torch import Tensor

    from solov2.decoding.geometry import Geometry


class Instances:
    """What was found in one picture, best first; all arrays have the same length N.

    The masks stay in the form in which they were given, and everything else about them is computed when it is first
    asked for, inside their bounding boxes. Any model can make them: see `from_probs`, `from_masks`, `from_crops` and
    `from_rle`.

    Attributes:
        form: the masks as they were given.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64, index into the model's `class_names`.
    """

    def __init__(self, form: MaskForm, scores: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Keep the parts.

        Raises:
            ValueError: the lengths differ.
        """
        self.form = form
        self.scores: FloatArray = np.asarray(scores, np.float32)
        self.labels: IntArray = np.asarray(labels, np.int64)
        if not len(form) == len(self.scores) == len(self.labels):
            raise ValueError(
                f"lengths must agree, got {len(form)} masks, {len(self.scores)} scores, {len(self.labels)} labels"
            )

    @classmethod
    def from_probs(
        cls,
        mask_probs: Tensor,
        scores: npt.ArrayLike,
        labels: npt.ArrayLike,
        geometry: Geometry,
        mask_threshold: float = 0.5,
    ) -> Instances:
        """Return instances from mask probabilities at stride 4 of a network's input.

        Args:
            mask_probs: (N, h, w) in [0, 1], on any device.
            scores: (N,) in [0, 1].
            labels: (N,).
            geometry: how the network's input was made from the picture.
            mask_threshold: a pixel belongs to a mask above it.

        Raises:
            ValueError: the lengths differ, or the probabilities are not those of the geometry's padded input.
        """
        from solov2.masks.prob_masks import ProbMasks  # which imports torch

        return cls(ProbMasks(mask_probs, geometry, mask_threshold), scores, labels)

    @classmethod
    def from_masks(
        cls, masks: Tensor | npt.NDArray[Any], scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float = 0.5
    ) -> Instances:
        """Return instances from masks of the picture's size.

        Args:
            masks: (N, H, W) bool or zeros and ones; or probabilities (floating point), of which those above
                `threshold` belong to a mask. An array, or a tensor on any device.
            scores: (N,) in [0, 1].
            labels: (N,).
            threshold: of probabilities.

        Raises:
            ValueError: the lengths differ, or `masks` has not three axes.
        """
        if masks.ndim != 3:
            raise ValueError(f"masks must be (N, H, W), got {tuple(masks.shape)}")
        if isinstance(masks, np.ndarray):
            flags = masks > threshold if masks.dtype.kind == "f" else masks.astype(np.bool_, copy=False)
        else:
            inside = masks.detach() > threshold if masks.is_floating_point() else masks.detach().bool()
            flags = inside.cpu().numpy()
        return cls(DenseMasks(flags), scores, labels)

    @classmethod
    def from_crops(
        cls, crops: Sequence[MaskCrop], scores: npt.ArrayLike, labels: npt.ArrayLike, image_hw: Size
    ) -> Instances:
        """Return instances from masks inside their bounding boxes, in a picture of this (height, width).

        Raises:
            ValueError: the lengths differ.
        """
        return cls(CroppedMasks(crops, image_hw), scores, labels)

    @classmethod
    def from_rle(
        cls, codes: Sequence[Mapping[str, Any]], scores: npt.ArrayLike, labels: npt.ArrayLike, image_hw: Size
    ) -> Instances:
        """Return instances from COCO's run-length codes, compressed or not: {"size": [H, W], "counts": ...}.

        Raises:
            ValueError: the lengths differ; or a code is broken, or of another size than `image_hw`.
        """
        return cls(RleMasks(codes, image_hw), scores, labels)

    @classmethod
    def empty(cls, image_hw: Size) -> Instances:
        """Return no instances for a picture of this (height, width)."""
        return cls.from_crops([], [], [], image_hw)

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def __repr__(self) -> str:
        """Name the picture's size, N and the best score."""
        height, width = self.image_hw
        best = f", best {self.scores[0]:.2f}" if len(self) else ""
        return f"Instances({len(self)} in {width}x{height}{best})"

    def select(self, keep: BoolArray | IntArray) -> Instances:
        """Return those that `keep` ((N,) bool, or indices) picks."""
        index = np.arange(len(self))[keep]
        return Instances(self.form.select(index), self.scores[index], self.labels[index])

    @property
    def image_hw(self) -> Size:
        """(height, width) of the picture."""
        return self.form.image_hw

    @property
    def masks(self) -> BoolArray:
        """(N, H, W) bool."""
        return self.form.masks

    @property
    def crops(self) -> list[MaskCrop]:
        """Each mask inside its bounding box."""
        return self.form.crops

    @property
    def boxes(self) -> FloatArray:
        """(N, 4) float32: left, top, right, bottom in picture px, the last two exclusive; zeros for an empty mask."""
        return self.form.boxes

    @property
    def areas(self) -> IntArray:
        """(N,) int64: pixels of each mask."""
        return self.form.areas

    @property
    def id_map(self) -> ByteArray:
        """(H, W) uint8: 0 for nothing, k for instance k - 1; the better score wins, the first 255 are shown."""
        return self.form.id_map

    def semantic_map(self) -> npt.NDArray[np.int16]:
        """Return (H, W) int16: each pixel's label, the better score's where masks overlap, -1 where there is none."""
        labels = np.full(self.image_hw, -1, np.int16)
        for crop, label in zip(reversed(self.crops), reversed(self.labels), strict=True):
            np.copyto(crop.window(labels), label.astype(np.int16), where=crop.mask)
        return labels

    def rle(self) -> list[Rle]:
        """Return COCO's compressed run-length code of each mask: {"size": [H, W], "counts": str}."""
        return [{**code, "size": list(code["size"])} for code in self.form.codes]
