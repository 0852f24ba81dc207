"""A folder of pictures with COCO annotation files somewhere in it, as exported by labelling tools."""

import re
from pathlib import Path
from typing import Any

from solov2.data.coco_dataset import UPRIGHT
from solov2.data.coco_file import Content, read_coco, read_json
from solov2.data.picture_files import check_size, relative_name
from solov2.errors import DatasetError

_VALIDATION_WORDS = {"val", "valid", "validation"}


def read_coco_folder(folder: Path) -> tuple[Content, Content | None] | None:
    """Return what the annotation files for training and validation hold, file names relative to `folder`.

    A file is for validation where a word of its path is "val", "valid" or "validation" (`instances_val2017.json`,
    `valid/_annotations.coco.json`), is left out where one is "test", and for training otherwise.

    Returns:
        Training and validation (None where no file is for it), or None where there is no COCO file.

    Raises:
        DatasetError: a file is broken, two are for the same, or a picture is missing.
    """
    files = _annotation_files(folder)
    if not files:
        return None
    of_split: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for file in files:
        of_split[split_of(file.relative_to(folder))].append(file)
    for split, found in of_split.items():
        if len(found) > 1 and split != "test":
            raise DatasetError(
                f"{folder} has several annotation files for {split}: {', '.join(file.name for file in found)}. "
                "Name the right one with --images and --annotations"
            )
    if not of_split["train"]:
        raise DatasetError(f"{folder} has no annotation file for training, only {', '.join(map(str, files))}")
    train = _located(of_split["train"][0], folder)
    return train, _located(of_split["validation"][0], folder) if of_split["validation"] else None


def split_of(path: Path) -> str:
    """Return "train", "validation" or "test", from the words of a relative path."""
    words = set(re.findall("[a-z]+", str(path).lower()))
    if words & _VALIDATION_WORDS:
        return "validation"
    return "test" if "test" in words and "train" not in words else "train"


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files in `folder` and below, without those that systems and archives hide there."""
    return sorted(
        path
        for path in folder.rglob("*.json")
        if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    )


def _annotation_files(folder: Path) -> list[Path]:
    """Return the files that hold instances; where some are called so, the others are not looked into."""
    files = json_files(folder)
    files = [file for file in files if file.name.startswith("instances")] or files
    return [file for file in files if _is_coco(file)]


def _is_coco(path: Path) -> bool:
    content = read_json(path)
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _located(annotations_file: Path, folder: Path) -> Content:
    """Return the file's content with the pictures' paths relative to `folder`."""
    content = read_coco(annotations_file, accept_boxes=True)
    names = [image["file_name"] for image in content["images"]]
    places = [annotations_file.parent, folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    places = [place for place in places if (place / names[0]).is_file()]
    missing = [next((name for name in names if not (place / name).is_file()), None) for place in places]
    if None not in missing:
        name = missing[0] if missing else names[0]
        raise DatasetError(f"{annotations_file} names {name}, which is not in {places[0] if places else folder}")
    place = places[missing.index(None)]
    return {**content, "images": [_entry(image, place, folder, annotations_file) for image in content["images"]]}


def _entry(image: dict[str, Any], place: Path, folder: Path, annotations_file: Path) -> dict[str, Any]:
    """Return an image entry for `folder`; some tools write COCO for pictures with their EXIF rotation applied."""
    picture, size = place / image["file_name"], (image["height"], image["width"])
    _, stored = check_size(picture, size, annotations_file)
    return {**image, "file_name": relative_name(picture, folder), UPRIGHT: size != stored}
