"""LabelMe: a JSON file for each frame, with a mask shape for each instance. Exact."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from app.annotation.formats.atomic import atomic_folder, claim_path
from app.annotation.formats.coco import to_json
from app.annotation.jsonl_reader import FrameRecord, InstanceRecord, InstancesFile


def write_labelme(instances: Path, folder: Path) -> Path:
    """Write `labelme/frame_000000.json` and so on into `folder`.

    LabelMe looks for the pictures in `images/` beside `labelme/`. Its group number is the track id.

    Arguments, result and errors are those of each writer in `app.annotation.formats.FORMATS`.
    """
    recording = InstancesFile(instances)
    path = folder / "labelme"
    with atomic_folder(path) as partial:
        for frame in recording:
            file = claim_path(partial / f"{frame.stem}.json", frame.picture)
            file.write_text(to_json(_content(frame)) + "\n", encoding="utf-8")
    return path


def _content(frame: FrameRecord) -> dict[str, Any]:
    up = "../" * frame.picture.count("/")
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [_shape(instance) for instance in frame.instances],
        "imagePath": f"{up}../images/{frame.picture}",
        "imageData": None,
        "imageHeight": frame.height,
        "imageWidth": frame.width,
    }


def _shape(instance: InstanceRecord) -> dict[str, Any]:
    crop = instance.crop()
    height, width = crop.mask.shape
    png = io.BytesIO()
    Image.fromarray(crop.mask).save(png, "PNG")
    return {
        "label": instance.category,
        "points": [[crop.left, crop.top], [crop.left + width - 1, crop.top + height - 1]],
        "group_id": instance.track_id,
        "description": f"score {instance.score:g}",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png.getvalue()).decode("ascii"),
    }
