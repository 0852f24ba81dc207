"""COCO's annotation file as anybody may have written it: every entry is checked before anything else sees it."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solov2.data.segmentations import segmentation_flaw
from solov2.errors import DatasetError, brief
from solov2.masks.rle import MAX_PIXELS

Content = dict[str, Any]  # of an annotation file
IS_BOX = "is_box"  # key of an annotation whose segmentation is all of its box, as nobody outlined it


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
    except RecursionError:
        raise DatasetError(f"{path} is not JSON that can be read: its values are nested too deep") from None


def read_coco(path: Path, accept_boxes: bool = False) -> Content:
    """Return what an annotation file holds, every entry checked for what training and evaluation need.

    Args:
        path: the file.
        accept_boxes: an annotation may have a box and no mask; it gets all of its box as a mask, and `IS_BOX`.

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
    if accept_boxes:
        _outline_boxes(content["annotations"])
    _check_fields(content, path)
    _check_doubles(content, path)
    _check_annotations(content, path)
    return dict(content)


def box_outline(left: float, top: float, right: float, bottom: float) -> list[float]:
    """Return the polygon of a box."""
    return [left, top, right, top, right, bottom, left, bottom]


def _outline_boxes(annotations: list[Any]) -> None:
    for annotation in annotations:
        if isinstance(annotation, dict) and not annotation.get("segmentation") and _is_box(annotation.get("bbox")):
            left, top, width, height = annotation["bbox"]
            annotation |= {"segmentation": [box_outline(left, top, left + width, top + height)], IS_BOX: True}


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(isinstance(side, int | float) for side in value)


def is_name(value: object) -> bool:
    """Whether a value is text that can be printed and, without a NUL, be part of a path."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return False
    return True


def first_duplicate(values: Sequence[Any]) -> Any:
    """Return a value that is there more than once, or None."""
    counts = Counter(map(str, values))
    return next((value for value in values if counts[str(value)] > 1), None)


def _is_number(value: object) -> bool:
    return isinstance(value, int)


def _is_id(value: object) -> bool:
    return isinstance(value, int) or is_name(value)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and 0 < value <= MAX_PIXELS


def _is_anything(_: object) -> bool:
    return True


_FIELDS: dict[str, dict[str, tuple[Callable[[object], bool], str]]] = {
    "images": {
        "id": (_is_id, "a whole number or a text"),
        "file_name": (is_name, "a text"),
        "height": (_is_side, "whole numbers as height and width"),
        "width": (_is_side, "whole numbers as height and width"),
    },
    "categories": {"id": (_is_number, "a whole number"), "name": (is_name, "a text")},
    "annotations": {
        "image_id": (_is_id, "a whole number or a text"),
        "category_id": (_is_number, "a whole number"),
        "segmentation": (_is_anything, ""),
    },
}


def _check_fields(content: Content, path: Path) -> None:
    for key, fields in _FIELDS.items():
        for number, entry in enumerate(content[key]):
            lacking = [field for field in fields if not isinstance(entry, dict) or field not in entry]
            if lacking:
                raise DatasetError(f"{path}: entry {number} of {key} has no {', '.join(lacking)}")
            for field, (is_right, wanted) in fields.items():
                if not is_right(entry[field]):
                    wanted = wanted if " as " in wanted else f"{wanted} as {field}"
                    got = brief(entry[field])
                    raise DatasetError(f"{path}: entry {number} of {key} must have {wanted}, got {got}")
    for number, image in enumerate(content["images"]):
        if image["height"] * image["width"] > MAX_PIXELS:
            raise DatasetError(f"{path}: entry {number} of images has more than {MAX_PIXELS} pixels")


def _check_doubles(content: Content, path: Path) -> None:
    for key in ("images", "categories"):
        twice = first_duplicate([entry["id"] for entry in content[key]])
        if twice is not None:
            raise DatasetError(f"{path} has two {key} with the id {twice!r}. Give each a number of its own")
    twice = first_duplicate([category["name"] for category in content["categories"]])
    if twice is not None:
        raise DatasetError(f"{path} has two categories called {twice!r}. Rename one")


def _check_annotations(content: Content, path: Path) -> None:
    images = {image["id"]: image for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    for number, annotation in enumerate(content["annotations"]):
        what = f"{path}: entry {number} of annotations"
        if annotation["image_id"] not in images:
            raise DatasetError(f"{what} is of image {brief(annotation['image_id'])}, which is not listed")
        if annotation["category_id"] not in category_ids:
            raise DatasetError(f"{what} is of category {annotation['category_id']}, which is not listed")
        image = images[annotation["image_id"]]
        flaw = segmentation_flaw(annotation["segmentation"], (image["height"], image["width"]))
        if flaw:
            raise DatasetError(f"{what}, on {image['file_name']}, {flaw}")
