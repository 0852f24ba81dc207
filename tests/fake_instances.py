"""Instances made by hand, with what the renderer looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from app.stream.frames import Frame, Result
from solov2.decoding.geometry import Geometry
from solov2.instances import MaskCrop


@dataclass(frozen=True)
class FakeInstances:
    id_map: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def crops(self) -> list[MaskCrop]:
        """What the tracker looks at."""
        corners = enumerate(self.boxes.astype(int).tolist(), start=1)
        return [MaskCrop(y1, x1, self.id_map[y1:y2, x1:x2] == mask_id) for mask_id, (x1, y1, x2, y2) in corners]

    @property
    def geometry(self) -> Geometry:
        """Of the picture's size."""
        return Geometry.fit((self.id_map.shape[0], self.id_map.shape[1]), 64, 64)


def rectangles(size_hw: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]], labels: Sequence[int]) -> Any:
    """Instances that fill `boxes` (xyxy), best first."""
    id_map = np.zeros(size_hw, np.uint8)
    for index in reversed(range(min(len(boxes), 255))):
        x1, y1, x2, y2 = boxes[index]
        id_map[y1:y2, x1:x2] = index + 1
    return FakeInstances(
        id_map,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.linspace(0.9, 0.4, len(boxes), dtype=np.float32),
    )


def result_of(image: np.ndarray, instances: Any = None, pts: int = 0, time_base: Fraction = Fraction(1, 30)) -> Result:
    """A result for `image`, with no instances unless given."""
    if instances is None:
        instances = rectangles(image.shape[:2], [], [])
    return Result(Frame(image, pts, time_base, 0.0, "test", 0), instances, {})
