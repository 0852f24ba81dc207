"""COCO-format data: which pictures there are, and the instances of each."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from solov2.data.polygons import polygon_flaw
from solov2.errors import DatasetError, UnknownNameError
from solov2.masks.rle import check_rle
from solov2.pixel_limit import check_file
from solov2.pixels import Image, Size

Content = dict[str, Any]  # of an annotation file
UPRIGHT = "upright"  # key of an image entry


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
        annotations: all of the file's annotations, those of other categories too.
    """

    def __init__(self, images_folder: Path, annotations_file: Path, class_names: Sequence[str] | None = None) -> None:
        """Read `annotations_file`; `class_names` picks and orders the categories, None takes all by rising id.

        Raises:
            DatasetError: the file cannot be read or is not COCO's, the folder is missing, a class is named twice.
            UnknownNameError: a class name is not among the categories.
        """
        self.images_folder = images_folder
        self.annotations_file = annotations_file
        content = read_coco(annotations_file)
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
        twice = _twice(class_names)
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
        )

    def _instances_of(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            annotation
            for annotation in self._annotations_of.get(entry["id"], ())
            if annotation["category_id"] in self.category_ids and not annotation.get("iscrowd")
        ]


def mask_of(segmentation: Any, size: Size) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8 zeros and ones for COCO's polygons, or run-length codes compressed or not.

    Raises:
        DatasetError: it is none of these.
    """
    return np.asarray(coco_mask.decode(mask_code(segmentation, size)), np.uint8)


def mask_code(segmentation: Any, size: Size) -> dict[str, Any]:
    """Return the compressed run-length code of COCO's polygons or run-length codes.

    Raises:
        DatasetError: it is none of these.
    """
    flaw = segmentation_flaw(segmentation, size)
    if flaw:
        raise DatasetError(f"not a COCO segmentation: it {flaw}")
    if isinstance(segmentation, dict):
        return check_rle(segmentation, size)
    return dict(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size)))


def segmentation_flaw(segmentation: Any, size: Size) -> str | None:
    """Return what is wrong with COCO's polygons or run-length code, as the end of a sentence; None if nothing is."""
    if isinstance(segmentation, dict):
        try:
            check_rle(segmentation, size)
        except ValueError as error:
            return f"has a broken mask: {error}"
        return None
    if not segmentation:
        return "has no mask, only a box"
    if not isinstance(segmentation, list):
        return f"has neither polygons nor a run-length code, but {ascii(segmentation)[:60]}"
    flaws = (polygon_flaw(polygon, size) for polygon in segmentation)
    return next((f"has {flaw}" for flaw in flaws if flaw), None)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DatasetError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"could not read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error


def read_coco(path: Path) -> Content:
    """Return what an annotation file holds, every entry checked for what training and evaluation need.

    Raises:
        DatasetError: the file cannot be read, is not COCO's format, or an entry is broken.
    """
    content = read_json(path)
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DatasetError(f"{path} is not in COCO's format: it has no list of {', '.join(missing)}")
    if not content["images"]:
        raise DatasetError(f"{path} lists no images")
    _check_entries(content, path)
    return dict(content)


def _check_entries(content: Content, path: Path) -> None:
    required = {
        "images": ("id", "file_name", "height", "width"),
        "categories": ("id", "name"),
        "annotations": ("image_id", "category_id", "segmentation"),
    }
    for key, fields in required.items():
        for number, entry in enumerate(content[key]):
            lacking = [field for field in fields if not isinstance(entry, dict) or field not in entry]
            if lacking:
                raise DatasetError(f"{path}: entry {number} of {key} has no {', '.join(lacking)}")
    for number, image in enumerate(content["images"]):
        if not all(isinstance(image[side], int) and image[side] > 0 for side in ("height", "width")):
            raise DatasetError(f"{path}: entry {number} of images must have whole numbers as height and width")
    for key in ("images", "categories"):
        twice = _twice([entry["id"] for entry in content[key]])
        if twice is not None:
            raise DatasetError(f"{path} has two {key} with the id {twice!r}. Number them anew")
    twice = _twice([category["name"] for category in content["categories"]])
    if twice is not None:
        raise DatasetError(f"{path} has two categories called {twice!r}. Rename one")
    _check_annotations(content, path)


def _twice(values: Sequence[Any]) -> Any:
    """Return a value that is there more than once, or None."""
    counts = Counter(map(str, values))
    return next((value for value in values if counts[str(value)] > 1), None)


def _check_annotations(content: Content, path: Path) -> None:
    images = {image["id"]: image for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    for number, annotation in enumerate(content["annotations"]):
        what = f"{path}: entry {number} of annotations"
        if annotation["image_id"] not in images:
            raise DatasetError(f"{what} is of image {annotation['image_id']}, which is not listed")
        if annotation["category_id"] not in category_ids:
            raise DatasetError(f"{what} is of category {annotation['category_id']}, which is not listed")
        image = images[annotation["image_id"]]
        flaw = segmentation_flaw(annotation["segmentation"], (image["height"], image["width"]))
        if flaw:
            raise DatasetError(f"{what}, on {image['file_name']}, {flaw}")
