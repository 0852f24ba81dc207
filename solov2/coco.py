"""COCO-format data: which pictures there are, and the instances of each."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from solov2.errors import DatasetError, UnknownNameError
from solov2.image import Image, Size


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its instances, before any augmentation.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) uint8 of zeros and ones.
        labels: (N,) int64.
    """

    image: Image
    masks: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class CocoDataset:
    """The pictures of one annotation file.

    Attributes:
        class_names: the name of each label.
        category_ids: COCO's id of each label.
        images: the file's image entries, in its order.
    """

    def __init__(self, images_folder: Path, annotations_file: Path, class_names: Sequence[str] | None = None) -> None:
        """Read `annotations_file`; `class_names` picks and orders the categories, None takes all by rising id.

        Raises:
            DatasetError: the file cannot be read, is not COCO's format, or the folder is missing.
            UnknownNameError: a class name is not among the categories.
        """
        self.images_folder = images_folder
        self.annotations_file = annotations_file
        content = _read(annotations_file)
        if not images_folder.is_dir():
            raise DatasetError(f"no such folder of pictures: {images_folder}")
        ids = {category["name"]: category["id"] for category in sorted(content["categories"], key=lambda c: c["id"])}
        for name in class_names or ():
            if name not in ids:
                raise UnknownNameError(f"class of {annotations_file.name}", name, ids)
        self.class_names = tuple(class_names or ids)
        self.category_ids = tuple(ids[name] for name in self.class_names)
        self.images: list[dict[str, Any]] = content["images"]
        self._annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            self._annotations[annotation["image_id"]].append(annotation)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def picture(self, index: int) -> Image:
        """Read picture `index`: (H, W, 3) uint8 RGB, as stored (annotations ignore EXIF rotation).

        Raises:
            DatasetError: it cannot be read.
        """
        path = self.images_folder / self.images[index]["file_name"]
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is None:
            raise DatasetError(f"could not read {path}, which {self.annotations_file} names")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def sample(self, index: int) -> Sample:
        """Return picture `index` with its instances; crowds are left out, because a crowd is no instance.

        Raises:
            DatasetError: the picture cannot be read, or has another size than the annotations say.
        """
        image = self.picture(index)
        entry = self.images[index]
        size = image.shape[0], image.shape[1]
        if size != (entry["height"], entry["width"]):
            raise DatasetError(
                f"{entry['file_name']} is {size[1]}x{size[0]}, but {self.annotations_file} says "
                f"{entry['width']}x{entry['height']}"
            )
        label_of = {category_id: label for label, category_id in enumerate(self.category_ids)}
        chosen = [
            annotation
            for annotation in self._annotations[entry["id"]]
            if annotation["category_id"] in label_of and not annotation.get("iscrowd")
        ]
        masks = [mask_of(annotation["segmentation"], size) for annotation in chosen]
        return Sample(
            image,
            np.stack(masks) if masks else np.zeros((0, *size), np.uint8),
            np.array([label_of[annotation["category_id"]] for annotation in chosen], np.int64),
        )


def mask_of(segmentation: Any, size: Size) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8 zeros and ones for COCO's polygons, or run-length codes compressed or not.

    Raises:
        DatasetError: it is none of these.
    """
    height, width = size
    try:
        if isinstance(segmentation, list):
            code = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            code = coco_mask.frPyObjects(segmentation, height, width)
        else:
            code = segmentation
        return np.asarray(coco_mask.decode(code), np.uint8)
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise DatasetError(f"not a COCO segmentation: {str(segmentation)[:60]} ({error})") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(f"could not read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    missing = [key for key in ("images", "annotations", "categories") if key not in content]
    if missing:
        raise DatasetError(f"{path} is not in COCO's format: it has no {', '.join(missing)}")
    if not content["images"]:
        raise DatasetError(f"{path} lists no images")
    return dict(content)
