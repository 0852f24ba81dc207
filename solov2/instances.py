"""The values that travel between the parts of the model: what the network says, and what was found."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solov2.decoding.geometry import Axis, Geometry

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

MAX_IDS = 255  # instances that one byte can tell apart, 0 being none


@dataclass(frozen=True, slots=True)
class MaskCrop:
    """The part of one mask inside its bounding box.

    Attributes:
        top, left: of the box, picture pixels.
        mask: (box height, box width) bool; empty where the instance has no pixel left in the picture.
    """

    top: int
    left: int
    mask: BoolArray


class Instances:
    """What was found in one picture, best first; all arrays have the same length N.

    Mask probabilities stay at stride 4 of the network's input, where they are 50 times smaller than the masks of an
    HD picture; everything at the picture's size is computed when first asked for.

    Attributes:
        mask_probs: (N, h, w) probabilities at stride 4, on the device that computed them.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64, index into the model's `class_names`.
        geometry: how stride 4 relates to the picture.
        mask_threshold: a pixel belongs to a mask above it.
    """

    def __init__(
        self, mask_probs: Tensor, scores: FloatArray, labels: IntArray, geometry: Geometry, mask_threshold: float = 0.5
    ) -> None:
        """Keep the parts.

        Raises:
            ValueError: the lengths differ, or the probabilities are not those of the geometry's padded input.
        """
        if not len(mask_probs) == len(scores) == len(labels):
            raise ValueError(
                f"lengths must agree, got {len(mask_probs)} masks, {len(scores)} scores, {len(labels)} labels"
            )
        if mask_probs.shape[1:] != geometry.mask_hw:
            raise ValueError(
                f"mask_probs must be (N, {geometry.mask_hw[0]}, {geometry.mask_hw[1]}), got {tuple(mask_probs.shape)}"
            )
        self.mask_probs, self.scores, self.labels = mask_probs, scores, labels
        self.geometry, self.mask_threshold = geometry, mask_threshold

    @classmethod
    def empty(cls, geometry: Geometry) -> "Instances":
        """Return no instances for a picture of this geometry."""
        return cls(torch.zeros(0, *geometry.mask_hw), np.zeros(0, np.float32), np.zeros(0, np.int64), geometry)

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def __repr__(self) -> str:
        """Name the picture's size, N and the best score."""
        height, width = self.geometry.image_hw
        best = f", best {self.scores[0]:.2f}" if len(self) else ""
        return f"Instances({len(self)} in {width}x{height}{best})"

    def select(self, keep: BoolArray | IntArray) -> "Instances":
        """Return those that `keep` ((N,) bool, or indices) picks."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        probs = self.mask_probs[torch.from_numpy(np.ascontiguousarray(index)).to(self.mask_probs.device)]
        return Instances(probs, self.scores[index], self.labels[index], self.geometry, self.mask_threshold)

    def with_painting(self, boxes: FloatArray, id_map: npt.NDArray[np.uint8]) -> "Instances":
        """Take over boxes and id map that a device has painted already, and return self."""
        self.boxes, self.id_map = boxes, id_map
        return self

    @cached_property
    def crops(self) -> list[MaskCrop]:
        """Each mask inside its bounding box."""
        probs = self.mask_probs.float().cpu().numpy()
        rows, columns = self.geometry.rows, self.geometry.columns
        return [_crop(one, rows, columns, self.mask_threshold) for one in probs]

    @cached_property
    def masks(self) -> BoolArray:
        """(N, H, W) bool at the picture's size."""
        masks = np.zeros((len(self), *self.geometry.image_hw), np.bool_)
        for mask, crop in zip(masks, self.crops, strict=True):
            _window(mask, crop)[:] = crop.mask
        return masks

    @cached_property
    def boxes(self) -> FloatArray:
        """(N, 4) float32: left, top, right, bottom in picture px, the last two exclusive; zeros for an empty mask."""
        boxes = np.zeros((len(self), 4), np.float32)
        for box, crop in zip(boxes, self.crops, strict=True):
            height, width = crop.mask.shape
            box[:] = crop.left, crop.top, crop.left + width, crop.top + height
        return boxes

    @cached_property
    def areas(self) -> IntArray:
        """(N,) int64: pixels of each mask."""
        return np.array([np.count_nonzero(crop.mask) for crop in self.crops], np.int64)

    @cached_property
    def id_map(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8: 0 for nothing, k for instance k - 1; the better score wins, the first 255 are shown."""
        ids = np.zeros(self.geometry.image_hw, np.uint8)
        for k in range(min(len(self), MAX_IDS), 0, -1):
            crop = self.crops[k - 1]
            _window(ids, crop)[crop.mask] = k
        return ids

    def semantic_map(self) -> npt.NDArray[np.int16]:
        """Return (H, W) int16: each pixel's label, the better score's where masks overlap, -1 where there is none."""
        labels = np.full(self.geometry.image_hw, -1, np.int16)
        for crop, label in zip(reversed(self.crops), reversed(self.labels), strict=True):
            _window(labels, crop)[crop.mask] = label
        return labels

    def rle(self) -> list[dict[str, Any]]:
        """Return COCO's compressed run-length code of each mask: {"size": [H, W], "counts": str}."""
        from pycocotools import mask as coco_mask

        encoded = []
        plane = np.zeros(self.geometry.image_hw, np.uint8, order="F")
        for crop in self.crops:
            _window(plane, crop)[:] = crop.mask
            code = coco_mask.encode(plane)
            encoded.append({"size": list(code["size"]), "counts": code["counts"].decode("ascii")})
            _window(plane, crop)[:] = 0
        return encoded


def _window(plane: npt.NDArray[Any], crop: MaskCrop) -> npt.NDArray[Any]:
    height, width = crop.mask.shape
    return plane[crop.top : crop.top + height, crop.left : crop.left + width]


def _crop(probs: FloatArray, rows: Axis, columns: Axis, threshold: float) -> MaskCrop:
    """Enlarge only the part of `probs` (h, w) that can lie above the threshold, and cut it to its bounding box."""
    above = probs > threshold
    ys, row_taps = rows.reach(np.asarray(above.any(1)))
    xs, column_taps = columns.reach(np.asarray(above.any(0)))
    part = probs[row_taps, column_taps]
    enlarged = rows.matrix[ys, row_taps] @ part @ columns.matrix[xs, column_taps].T
    mask = enlarged > threshold
    inside_rows, inside_columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(inside_rows):
        return MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
    top, left = inside_rows[0], inside_columns[0]
    tight = np.ascontiguousarray(mask[top : inside_rows[-1] + 1, left : inside_columns[-1] + 1])
    return MaskCrop(ys.start + int(top), xs.start + int(left), tight)
