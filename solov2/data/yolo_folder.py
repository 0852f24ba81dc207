"""A folder in YOLO's layout: data.yaml, pictures, and a text file of polygons or boxes for each picture.

A line of such a file is a class number and x, y pairs as shares of the picture's width and height, or the centre, the
width and the height of a box.
"""

from itertools import count
from pathlib import Path
from typing import Any

from solov2.data.coco_file import IS_BOX, Content, box_outline, is_name
from solov2.data.picture_files import upright_entry
from solov2.errors import DatasetError, brief
from solov2.files import find_pictures
from solov2.pixels import Size
from solov2.yaml_file import YAMLFileError, load_yaml

_MAX_PATH = 250
_TOLERANCE = 0.01  # by which a tool's rounding may leave the picture


def read_yolo_folder(folder: Path) -> tuple[Content, Content | None] | None:
    """Return the training and validation pictures that the YAML file names; one without a text file shows nothing.

    Returns:
        Training and validation (None where the file names none), or None where there is no YAML file with `names`.

    Raises:
        DatasetError: a path, a line or a picture is wrong; the message names the file and the line.
    """
    found = next(((path, content) for path in _yaml_files(folder) if "names" in (content := _read_yaml(path))), None)
    if found is None:
        return None
    path, description = found
    names = _class_names(description["names"], path)
    named = str(description.get("path") or ".")
    root = folder / (named if is_name(named) and len(named) <= _MAX_PATH else ".")
    root = root if root.is_dir() else folder  # the path is of the machine that wrote it
    train = _content(_pictures(description.get("train") or "images", root, path), names, folder)
    value = description.get("val") or description.get("valid")
    return train, _content(_pictures(value, root, path), names, folder) if value else None


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path)
    except YAMLFileError as error:
        raise DatasetError(str(error)) from error
    return content if isinstance(content, dict) else {}


def _class_names(names: Any, path: Path) -> list[str]:
    """Return the names in the order of their numbers, from a list or a mapping of number to name."""
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{path}: names must be a list, or a mapping of 0, 1, 2, ... to names, got {brief(names)}")
    wrong = next((name for name in names if isinstance(name, list | dict) or not is_name(str(name))), None)
    if wrong is not None:
        raise DatasetError(f"{path}: a name must be a text, got {brief(wrong)}")
    return [str(name) for name in names]


def _pictures(value: Any, root: Path, path: Path) -> list[Path]:
    """Return the pictures of a split, which is a folder, a text file that lists pictures, or a list of those."""
    pictures: list[Path] = []
    for part in value if isinstance(value, list) else [value]:
        if not is_name(str(part)) or len(str(part)) > _MAX_PATH:
            raise DatasetError(f"{path} names {brief(part)}, which is no path")
        place = root / str(part)
        if not place.exists():
            place = root / str(part).lstrip("./")  # tools write ../train/images where the folder is ./train/images
        if place.is_dir():
            pictures += find_pictures(place)
        elif place.is_file():
            pictures += [root / line.strip() for line in _lines(place) if line.strip()]
        else:
            raise DatasetError(f"{path} names {part}, which is not in {root}")
    if not pictures:
        raise DatasetError(f"{path} names {value}, where there are no pictures")
    return pictures


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"could not read {path}: {error}") from error


def _content(pictures: list[Path], names: list[str], folder: Path) -> Content:
    images, annotations = [], []
    annotation_ids = count(1)
    for number, picture in enumerate(pictures, 1):
        images.append({"id": number, **upright_entry(picture, folder)})
        size = images[-1]["height"], images[-1]["width"]
        for label, polygon, is_box in _polygons(_label_file(picture), names, size):
            annotations.append(
                {
                    "id": next(annotation_ids),
                    "image_id": number,
                    "category_id": label + 1,
                    "segmentation": [polygon],
                    **({IS_BOX: True} if is_box else {}),
                }
            )
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _label_file(picture: Path) -> Path:
    """Return where the labels of `picture` are: the last folder called images becomes labels."""
    parts = list(picture.with_suffix(".txt").parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts)


def _polygons(path: Path, names: list[str], size: Size) -> list[tuple[int, list[float], bool]]:
    """Return the label and the polygon in pixels of each line, and whether it is that of a box."""
    if not path.is_file():
        return []
    polygons = []
    for number, line in enumerate(_lines(path), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise DatasetError(f"{path}, line {number}: not numbers: {line[:60]!r}") from None
        if values:
            flaw = _flaw(values, len(names))
            if flaw:
                raise DatasetError(f"{path}, line {number}: {flaw}")
            label, *shares = values
            if len(shares) == 4:
                x, y, width, height = shares
                shares = box_outline(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            scale = (size[1], size[0]) * (len(shares) // 2)
            polygon = [value * side for value, side in zip(shares, scale, strict=True)]
            polygons.append((int(label), polygon, len(values) == 5))
    return polygons


def _flaw(values: list[float], classes: int) -> str | None:
    if values[0] not in range(classes):
        return f"class {values[0]:g} is not one of the {classes} that the YAML file names"
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        return f"a box needs four numbers and a polygon three or more x, y pairs, got {len(values) - 1} numbers"
    if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in values[1:]):
        return "coordinates must be shares of the picture's width and height, in [0, 1]"
    return None
