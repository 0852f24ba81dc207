"""Small sets of pictures with rectangles on them, annotated as COCO, made where a test asks for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASS_NAMES = ("square", "bar")
COLOURS = ((40, 200, 60), (230, 220, 50))


@dataclass(frozen=True)
class Box:
    """A filled rectangle: its class and sides in pixels."""

    label: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def polygon(self) -> list[float]:
        return [self.left, self.top, self.right, self.top, self.right, self.bottom, self.left, self.bottom]


def random_boxes(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[Box]:
    """One square and one bar, in the left and the right half."""
    height, width = size_hw
    side = int(rng.integers(height // 4, height // 2))
    left, top = int(rng.integers(0, width // 2 - side)), int(rng.integers(0, height - side))
    bar_left, bar_top = int(rng.integers(width // 2, width - width // 8)), int(rng.integers(0, height // 4))
    return [
        Box(0, left, top, left + side, top + side),
        Box(1, bar_left, bar_top, bar_left + width // 8, bar_top + 3 * height // 4),
    ]


def write_picture(path: Path, size_hw: tuple[int, int], boxes: Sequence[Box], rng: np.random.Generator) -> None:
    """Write noise with the boxes on it."""
    image = rng.integers(60, 120, (*size_hw, 3), dtype=np.uint8)
    for box in boxes:
        image[box.top : box.bottom, box.left : box.right] = COLOURS[box.label]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[:, :, ::-1])


def write_coco(
    folder: Path, annotations_file: Path, count: int = 4, size_hw: tuple[int, int] = (96, 128), seed: int = 0
) -> dict[str, Any]:
    """Write `count` pictures into `folder` and their annotations, which are returned; category ids are 3 and 7."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"{annotations_file.stem}_{number:03}.png"
        boxes = random_boxes(rng, size_hw)
        write_picture(folder / name, size_hw, boxes, rng)
        images.append({"id": number, "file_name": name, "height": size_hw[0], "width": size_hw[1]})
        annotations += [
            {"image_id": number, "category_id": (3, 7)[box.label], "segmentation": [box.polygon]} for box in boxes
        ]
    content = {
        "images": images,
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
        "categories": [{"id": 3, "name": CLASS_NAMES[0]}, {"id": 7, "name": CLASS_NAMES[1]}],
    }
    annotations_file.parent.mkdir(parents=True, exist_ok=True)
    annotations_file.write_text(json.dumps(content))
    return content
