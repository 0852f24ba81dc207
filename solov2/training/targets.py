"""Which cells of the grids must find which instance, and what mask they must give."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solov2.variants import MASK_STRIDE, Ranges

CENTER_RATIO = 0.2  # the positive region's share of the box, each way (elsewhere: pos_scale, sigma)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The instances of one padded input image.

    Attributes:
        labels: (N,) int64.
        boxes: (N, 4) float32 xyxy in input pixels.
        masks: (N, H, W) uint8 of zeros and ones, H and W multiples of 32.
        has_mask: (N,) False where only the box was annotated, so that the mask is all of it; None where all have one.
    """

    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    masks: npt.NDArray[np.uint8]
    has_mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What the head should say about one image; cells count through all levels, row by row.

    Attributes:
        labels: (cells,) int64, the class of each cell; `background` (the number of classes) elsewhere.
        cells: (P,) int64, a positive cell each; a cell that two instances share stands here twice.
        instances: (P,) int64, the instance that the cell must give.
        masks: (N, h, w) float32 of zeros and ones at stride 4.
    """

    labels: Tensor
    cells: Tensor
    instances: Tensor
    masks: Tensor

    def pin_memory(self) -> "Targets":
        """Return these targets where a CUDA device reads them without the processor's help."""
        return Targets(*(getattr(self, field.name).pin_memory() for field in fields(self)))

    def to(self, device: torch.device) -> "Targets":
        """Return these targets on `device`."""
        return Targets(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


def assign(truth: GroundTruth, grid_sizes: Sequence[int], scale_ranges: Ranges, background: int) -> Targets:
    """Return the targets of one image.

    An instance belongs to every level whose range (both ends inclusive) holds the square root of its box's area.
    There it takes the cells around its centre of mass: a rectangle of `CENTER_RATIO` of its box, at most one cell away
    from the centre's cell.

    Args:
        truth: the image's instances, earlier ones first: a later one takes over the label of a shared cell.
        grid_sizes: S of each level.
        scale_ranges: of each level.
        background: label of cells without an instance.

    Source: Wang et al., "SOLO: Segmenting Objects by Locations" (2020), section 3.3; scale assignment of
    mmdetection's SOLOV2Head.
    """
    labels = torch.full((sum(size * size for size in grid_sizes),), background, dtype=torch.int64)
    cells: list[int] = []
    instances: list[int] = []
    widths, heights = truth.boxes[:, 2] - truth.boxes[:, 0], truth.boxes[:, 3] - truth.boxes[:, 1]
    sizes = np.sqrt(widths * heights)
    centers = [_center_of_mass(mask) for mask in truth.masks]
    image_hw = truth.masks.shape[1:]
    first_cell = 0
    for grid, (low, high) in zip(grid_sizes, scale_ranges, strict=True):
        for k in np.flatnonzero((sizes >= low) & (sizes <= high)):
            center = centers[k]
            if center is None:
                continue
            rows = _span(center[0], CENTER_RATIO / 2 * float(heights[k]), image_hw[0], grid)
            columns = _span(center[1], CENTER_RATIO / 2 * float(widths[k]), image_hw[1], grid)
            taken = [first_cell + row * grid + column for row in rows for column in columns]
            labels[taken] = int(truth.labels[k])
            cells.extend(taken)
            instances.extend([int(k)] * len(taken))
        first_cell += grid * grid
    quarter = quarter_masks(truth.masks)
    return Targets(labels, torch.tensor(cells, dtype=torch.int64), torch.tensor(instances, dtype=torch.int64), quarter)


def quarter_masks(masks: npt.NDArray[np.uint8]) -> Tensor:
    """Return (N, H, W) masks at stride 4: (N, h, w) float32.

    A quarter-size bilinear resize looks at the four pixels in the middle of each 4x4 block; rounding keeps a pixel
    where at least half of them are set, as OpenCV does on bytes.
    """
    inner = MASK_STRIDE // 2
    summed = sum(
        masks[:, inner - 1 + row :: MASK_STRIDE, inner - 1 + column :: MASK_STRIDE]
        for row in (0, 1)
        for column in (0, 1)
    )
    return torch.from_numpy((np.asarray(summed) >= 2).astype(np.float32))


def _center_of_mass(mask: npt.NDArray[np.uint8]) -> tuple[float, float] | None:
    """Return (y, x), or None for an empty mask."""
    by_row, by_column = mask.sum(1, dtype=np.float64), mask.sum(0, dtype=np.float64)
    total = by_row.sum()
    if not total:
        return None
    return float(by_row @ np.arange(len(by_row)) / total), float(by_column @ np.arange(len(by_column)) / total)


def _span(center_px: float, half_px: float, image_px: int, grid: int) -> range:
    """Return the cells of one axis that a positive region covers."""

    def cell_of(position_px: float) -> int:
        return int((position_px / image_px) // (1 / grid))

    middle = cell_of(center_px)
    first = max(0, cell_of(center_px - half_px), middle - 1)
    last = min(grid - 1, cell_of(center_px + half_px), middle + 1)
    return range(first, last + 1)
