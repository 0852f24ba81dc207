"""A folder of pictures with LabelMe's JSON files: polygons, rectangles, circles and masks, one file a picture."""

import base64
import io
import math
from itertools import count
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from solov2.data.coco_dataset import UPRIGHT
from solov2.data.coco_file import Content, is_name, read_json
from solov2.data.coco_folder import json_files, split_of
from solov2.data.picture_files import check_size, relative_name, upright_entry
from solov2.data.polygons import polygon_flaw
from solov2.errors import DatasetError, brief
from solov2.files import PICTURE_SUFFIXES
from solov2.pixel_limit import check_picture
from solov2.pixels import Size

_CIRCLE_CORNERS = 64

Code = dict[str, Any]  # compressed run-length code


def read_labelme_folder(folder: Path) -> tuple[Content, Content | None] | None:
    """Return the labelled pictures in `folder` and below; pictures without a JSON file are left out.

    Shapes with the same label and the same group number are parts of one instance. A folder whose path has the word
    "val", "valid" or "validation" is for validation; one with "test" is left out.

    Returns:
        Training and validation (None where no folder is for it), or None where the first JSON file is not LabelMe's.

    Raises:
        DatasetError: a file, a shape or a picture is wrong; the message names the file and the shape.
    """
    files = json_files(folder)
    if not files or not _is_labelme(files[0]):
        return None
    of_split: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for file in files:
        of_split[split_of(file.parent.relative_to(folder))].append(file)
    labelled = {split: [(file, _read(file)) for file in of_split[split]] for split in ("train", "validation")}
    names = sorted({shape["label"] for part in labelled.values() for _, content in part for shape in content["shapes"]})
    train, validation = (_content(part, names, folder) for part in labelled.values())
    return train, validation if validation["images"] else None


def _is_labelme(path: Path) -> bool:
    try:
        content = read_json(path)
    except DatasetError:
        return False
    return isinstance(content, dict) and "shapes" in content


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DatasetError(f"{path} is not LabelMe's: it holds a {type(content).__name__}")
    if not isinstance(content.get("shapes", []), list):
        raise DatasetError(f"{path} is not LabelMe's: its shapes are no list")
    if not is_name(content.get("imagePath") or "none"):
        raise DatasetError(f"{path}: imagePath must be a text, got {brief(content['imagePath'])}")
    for number, shape in enumerate(content.get("shapes", ())):
        _check_shape(shape, f"{path}: shape {number}")
    content.pop("imageData", None)  # the picture itself, which is read from its own file
    return content


def _check_shape(shape: Any, what: str) -> None:
    lacking = [key for key in ("label", "points") if not isinstance(shape, dict) or key not in shape]
    if lacking:
        raise DatasetError(f"{what} has no {', '.join(lacking)}")
    if not is_name(shape["label"]):
        raise DatasetError(f"{what} must have a text as label, got {brief(shape['label'])}")
    if not isinstance(shape.get("group_id"), int | str | None):
        raise DatasetError(f"{what} must have a number as group_id, got {brief(shape['group_id'])}")


def _content(files: list[tuple[Path, dict[str, Any]]], names: list[str], folder: Path) -> Content:
    images, annotations = [], []
    annotation_ids = count(1)
    for number, (file, content) in enumerate(files, 1):
        if "shapes" not in content:
            raise DatasetError(f"{file} is not LabelMe's: it has no shapes, which {files[0][0].name} has")
        entry = _image_entry(file, content, folder)
        images.append({"id": number, **entry})
        for name, code in _instances(file, content["shapes"], (entry["height"], entry["width"])):
            category_id = names.index(name) + 1
            annotations.append(
                {"id": next(annotation_ids), "image_id": number, "category_id": category_id, "segmentation": code}
            )
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _image_entry(file: Path, content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the picture's entry; older versions of LabelMe labelled it without its EXIF rotation."""
    picture = _picture(file, content)
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if not height or not width:
        return upright_entry(picture, folder)
    upright, _ = check_size(picture, (height, width), file)
    name, is_upright = relative_name(picture, folder), (height, width) == upright
    return {"file_name": name, "height": height, "width": width, UPRIGHT: is_upright}


def _picture(file: Path, content: dict[str, Any]) -> Path:
    named = file.parent / PureWindowsPath(content.get("imagePath") or "").as_posix()
    beside = sorted(path for path in file.parent.glob(f"{file.stem}.*") if path.suffix.lower() in PICTURE_SUFFIXES)
    found = next((path for path in (named, *beside) if path.is_file()), None)
    if found is None:
        raise DatasetError(f"{file} names {content.get('imagePath')!r}, and there is no such picture")
    return found


def _instances(file: Path, shapes: list[dict[str, Any]], size: Size) -> list[tuple[str, Code]]:
    """Return the label and the mask of each instance."""
    parts: dict[tuple[Any, ...], list[Code]] = {}
    for number, shape in enumerate(shapes):
        group = shape.get("group_id")
        key = (shape["label"], "shape", number) if group is None else (shape["label"], "group", group)
        try:
            parts.setdefault(key, []).append(_shape_code(shape, size))
        except (ValueError, TypeError, LookupError, OverflowError, OSError, SyntaxError) as error:  # the last of Pillow
            raise DatasetError(f"{file}: shape {number} {brief(shape['label'])}: {error}") from error
    instances = []
    for (name, *_), codes in parts.items():
        code = coco_mask.merge(codes)
        instances.append((name, {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}))
    return instances


def _shape_code(shape: dict[str, Any], size: Size) -> Code:
    """Return the mask of a shape.

    Raises:
        ValueError: it encloses nothing, or is not what its type says.
    """
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":
        return _mask_code(shape, size)
    corners = _corners(kind, [(float(x), float(y)) for x, y in shape["points"]])
    polygon = [coordinate for corner in corners for coordinate in corner]
    if flaw := polygon_flaw(polygon, size):
        raise ValueError(flaw)
    code: Code = coco_mask.frPyObjects([polygon], *size)[0]
    return code


def _corners(kind: str, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if kind == "polygon" and len(points) >= 3:
        return points
    if kind == "rectangle" and len(points) in (2, 4):
        left, top = map(min, zip(*points, strict=True))
        right, bottom = map(max, zip(*points, strict=True))
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * corner / _CIRCLE_CORNERS for corner in range(_CIRCLE_CORNERS)]
        return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    raise ValueError(f"a {kind} of {len(points)} points encloses nothing that can be learnt")


def _mask_code(shape: dict[str, Any], size: Size) -> Code:
    """Return the mask of a shape that holds a PNG of its box."""
    encoded = base64.b64decode(shape["mask"], validate=True)
    if not check_picture(encoded, "a mask", ("PNG",)):
        raise ValueError("its mask is not a PNG")
    with Image.open(io.BytesIO(encoded), formats=("PNG",)) as png:
        part = np.asarray(png).astype(np.bool_)  # LabelMe writes ones, other tools 255
    if part.ndim != 2:
        raise ValueError("its mask is not a grey PNG")
    left, top = (round(coordinate) for coordinate in shape["points"][0])
    height, width = part.shape
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError("its mask reaches out of the picture")
    plane = np.zeros(size, np.uint8, order="F")
    plane[top : top + height, left : left + width] = part
    code: Code = coco_mask.encode(plane)
    return code
