"""COCO-format data: which pictures there are, and the instances of each."""

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from solov2.data.coco_file import IS_BOX, first_duplicate, read_coco
from solov2.data.segmentations import mask_of
from solov2.errors import DatasetError, UnknownNameError
from solov2.pixel_limit import check_file
from solov2.pixels import Image

UPRIGHT = "upright"  # key of an image entry


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its instances, before any augmentation.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) uint8 of zeros and ones.
        labels: (N,) int64.
        has_mask: (N,) False where only a box was annotated, so that the mask is all of it.
    """

    image: Image
    masks: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    has_mask: npt.NDArray[np.bool_]


class CocoDataset:
    """The pictures of one annotation file.

    Attributes:
        class_names: the name of each label.
        category_ids: COCO's id of each label.
        images: the file's image entries, in its order.
        annotations: all of the file's annotations, those of other categories too.
    """

    def __init__(
        self,
        images_folder: Path,
        annotations_file: Path,
        class_names: Sequence[str] | None = None,
        *,
        accept_boxes: bool = False,
    ) -> None:
        """Read `annotations_file`; `class_names` picks and orders the categories, None takes all by rising id.

        With `accept_boxes` an annotation may have a box and no mask: its mask is then all of the box.

        Raises:
            DatasetError: the file cannot be read or is not COCO's, the folder is missing, a class is named twice.
            UnknownNameError: a class name is not among the categories.
        """
        self.images_folder = images_folder
        self.annotations_file = annotations_file
        content = read_coco(annotations_file, accept_boxes)
        if not images_folder.is_dir():
            raise DatasetError(f"no such folder of pictures: {images_folder}")
        categories = sorted(content["categories"], key=lambda category: category["id"])
        self._ids: dict[str, int] = {category["name"]: category["id"] for category in categories}
        self.images: list[dict[str, Any]] = content["images"]
        self.annotations: list[dict[str, Any]] = content["annotations"]
        self._annotations_of: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self.annotations:
            self._annotations_of[annotation["image_id"]].append(annotation)
        self._choose(class_names or list(self._ids))

    def _choose(self, class_names: Sequence[str]) -> None:
        for name in class_names:
            if name not in self._ids:
                raise UnknownNameError(f"class of {self.annotations_file.name}", name, self._ids)
        twice = first_duplicate(class_names)
        if twice is not None:
            raise DatasetError(f"classes must differ, got {twice!r} twice")
        self.class_names = tuple(class_names)
        self.category_ids = tuple(self._ids[name] for name in class_names)

    def with_classes(self, class_names: Sequence[str]) -> "CocoDataset":
        """Return the same pictures with these categories, in this order.

        Raises:
            DatasetError: a class is named twice.
            UnknownNameError: a class name is not among the categories.
        """
        chosen = copy(self)
        chosen._choose(class_names)
        return chosen

    def has_category(self, category_id: int) -> bool:
        """Return whether the file has this category, chosen or not."""
        return category_id in self._ids.values()

    @property
    def box_count(self) -> int:
        """How many instances of the chosen categories have a box and no mask."""
        boxes = (annotation for annotation in self.annotations if annotation.get(IS_BOX))
        return sum(annotation["category_id"] in self.category_ids for annotation in boxes)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def instance_counts(self) -> npt.NDArray[np.int64]:
        """Return (pictures,) int64: how many instances of the chosen categories each picture has."""
        return np.array([len(self._instances_of(entry)) for entry in self.images], np.int64)

    def picture(self, index: int) -> Image:
        """Read picture `index`: (H, W, 3) uint8 RGB, as stored: COCO's annotations ignore EXIF rotation.

        An image entry with `UPRIGHT: true`, which is not COCO's, was annotated with the rotation applied.

        Raises:
            DatasetError: it cannot be read, or has another size than the annotations say.
            TooManyPixelsError: it declares more than are read.
        """
        entry = self.images[index]
        path = self.images_folder / entry["file_name"]
        flags = cv2.IMREAD_COLOR if entry.get(UPRIGHT) else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        is_picture = path.is_file() and check_file(path)  # where not, OpenCV would add a line of its own
        bgr = cv2.imread(str(path), flags) if is_picture else None
        if bgr is None:
            raise DatasetError(f"could not read {path}, which {self.annotations_file} names")
        height, width = bgr.shape[:2]
        if (height, width) != (entry["height"], entry["width"]):
            raise DatasetError(
                f"{entry['file_name']} is {width}x{height}, but {self.annotations_file} says "
                f"{entry['width']}x{entry['height']}"
            )
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def sample(self, index: int) -> Sample:
        """Return picture `index` with its instances; crowds are left out, because a crowd is no instance.

        Raises:
            DatasetError: as `picture`.
        """
        image = self.picture(index)
        size = image.shape[0], image.shape[1]
        chosen = self._instances_of(self.images[index])
        masks = [mask_of(annotation["segmentation"], size) for annotation in chosen]
        return Sample(
            image,
            np.stack(masks) if masks else np.zeros((0, *size), np.uint8),
            np.array([self.category_ids.index(annotation["category_id"]) for annotation in chosen], np.int64),
            np.array([not annotation.get(IS_BOX) for annotation in chosen], np.bool_),
        )

    def _instances_of(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            annotation
            for annotation in self._annotations_of.get(entry["id"], ())
            if annotation["category_id"] in self.category_ids and not annotation.get("iscrowd")
        ]
