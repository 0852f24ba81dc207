"""COCO: one JSON file with pictures, annotations and categories. Masks are compressed run-length codes, exact."""

import json
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from app.annotation.formats.atomic import atomic_file
from app.annotation.jsonl_reader import FrameRecord, Header, InstancesFile


def write_coco(instances: Path, folder: Path) -> Path:
    """Write `coco.json` into `folder`, reading `instances` twice: once for the pictures, once for the annotations.

    Category ids and picture ids begin at 1, because CVAT takes no 0. Track ids are where CVAT looks for them. No
    annotation is a crowd, which readers ignore. What COCO does not know is kept beside it: `score`, and `frame` and
    `seconds` of a picture.

    Arguments, result and errors are those of each writer in `app.annotation.formats.FORMATS`.
    """
    recording = InstancesFile(instances)
    path = folder / "coco.json"
    with atomic_file(path) as file:
        file.write('{"info":' + to_json({"description": recording.header.source}))
        file.write(',"licenses":[],"categories":' + to_json(categories(recording.header)))
        write_list(file, "images", map(_image, recording))
        write_list(file, "annotations", _annotations(recording))
        file.write("}\n")
    return path


def to_json(value: object) -> str:
    """Return `value` without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write_list(file: TextIO, key: str, values: Iterable[object]) -> None:
    """Add a list to the JSON object that is being written, one value a line, as they come."""
    file.write(f',\n"{key}":[')
    for number, value in enumerate(values):
        file.write(",\n" if number else "\n")
        file.write(to_json(value))
    file.write("]")


def categories(header: Header) -> list[dict[str, Any]]:
    """Return COCO's list of the categories, with ids from 1 on."""
    return [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(header.classes, 1)]


def _image(frame: FrameRecord) -> dict[str, Any]:
    size = {"width": frame.width, "height": frame.height}
    return {"id": frame.frame + 1, "file_name": frame.picture, **size, "frame": frame.frame, "seconds": frame.seconds}


def _annotations(frames: Iterable[FrameRecord]) -> Iterator[dict[str, Any]]:
    ids = count(1)
    for frame in frames:
        for instance in frame.instances:
            track = {} if instance.track_id is None else {"attributes": {"track_id": instance.track_id}}
            yield {
                "id": next(ids),
                "image_id": frame.frame + 1,
                "category_id": instance.category_id,
                "bbox": instance.bbox,
                "area": instance.area,
                "iscrowd": 0,
                "score": instance.score,
                **track,
                "segmentation": instance.segmentation,
            }
