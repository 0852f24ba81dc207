"""One's own labelled pictures: a folder in COCO's, YOLO's or LabelMe's layout, brought to COCO's form.

A folder says by itself which layout it has: a YAML file with `names` is YOLO's, JSON files with `shapes` are LabelMe's,
one with `images`, `annotations` and `categories` is COCO's.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solov2.data.coco_file import Content
from solov2.data.coco_folder import read_coco_folder
from solov2.data.labelme_folder import read_labelme_folder
from solov2.data.yolo_folder import read_yolo_folder
from solov2.errors import DatasetError

Reader = Callable[[Path], tuple[Content, Content | None] | None]

READERS: dict[str, Reader] = {
    "YOLO": read_yolo_folder,
    "LabelMe": read_labelme_folder,
    "COCO": read_coco_folder,
}


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Training and validation pictures in COCO's form; file names are relative to the folder.

    Attributes:
        kind: key of `READERS`.
        train, validation: as in annotation files, both with the same category names.
    """

    kind: str
    train: Content
    validation: Content

    def __str__(self) -> str:
        """Return one line with the numbers."""
        names = [category["name"] for category in self.train["categories"]]
        return (
            f"{self.kind}: {len(self.train['images'])} pictures to learn from with "
            f"{len(self.train['annotations'])} instances, {len(self.validation['images'])} to validate with "
            f"{len(self.validation['annotations'])}; classes: {', '.join(names)}"
        )


def read_data_folder(folder: Path) -> DataFolder:
    """Find out the layout of `folder` and read it.

    Categories that no training picture shows are left out. Where the folder names no validation pictures, some are
    held back (`held_back`).

    Raises:
        DatasetError: it has none of the layouts, or an entry is broken: the message names the file and the entry.
    """
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {folder}")
    for kind, read in READERS.items():
        contents = read(folder)
        if contents is not None:
            train, validation = contents
            if validation is None:
                train, validation = split_validation(train, folder)
            return DataFolder(kind, *_with_same_categories(train, validation, folder))
    raise DatasetError(
        f"{folder} has no labels that are known here: COCO's JSON, YOLO's data.yaml, or LabelMe's JSON beside a picture"
    )


def split_validation(content: Content, folder: Path) -> tuple[Content, Content]:
    """Return the pictures to learn from, and those that validate: the same ones each time, chosen by their names' hash.

    A fifth of up to 100 pictures, 20 of up to 200, a tenth of more, at most 500.

    Raises:
        DatasetError: there is only one picture.
    """
    images = sorted(content["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).digest())
    if len(images) < 2:
        raise DatasetError(f"{folder} has one labelled picture; two are the least, one of them to validate")
    count = min(max(len(images) // 10, min(len(images) // 5, 20), 1), 500)
    return _part(content, images[count:]), _part(content, images[:count])


def _part(content: Content, images: list[dict[str, Any]]) -> Content:
    ids = {image["id"] for image in images}
    return {
        **content,
        "images": sorted(images, key=lambda image: str(image["file_name"])),
        "annotations": [annotation for annotation in content["annotations"] if annotation["image_id"] in ids],
    }


def _with_same_categories(train: Content, validation: Content, folder: Path) -> tuple[Content, Content]:
    """Keep the categories that training pictures show; ids may differ between the two."""
    shown = {annotation["category_id"] for annotation in train["annotations"]}
    categories = [category for category in train["categories"] if category["id"] in shown]
    if not categories:
        raise DatasetError(f"no picture to learn from in {folder} has a labelled instance")
    names = [category["name"] for category in categories]
    known = [category for category in validation["categories"] if category["name"] in names]
    unseen = [name for name in names if name not in {category["name"] for category in known}]
    first_id = max((category["id"] for category in validation["categories"]), default=0) + 1
    known += [{"id": number, "name": name} for number, name in enumerate(unseen, first_id)]
    return _restricted(train, categories), _restricted(validation, known)


def _restricted(content: Content, categories: list[dict[str, Any]]) -> Content:
    ids = {category["id"] for category in categories}
    annotations = [annotation for annotation in content["annotations"] if annotation["category_id"] in ids]
    return {**content, "categories": categories, "annotations": annotations}
