"""Masks: a black and white PNG of the picture's size for each instance, so that overlaps are kept. Exact."""

import re
from pathlib import Path

from PIL import Image

from app.annotation.formats.atomic import atomic_folder, claim_path
from app.annotation.jsonl_reader import FrameRecord, InstanceRecord, InstancesFile


def write_masks(instances: Path, folder: Path) -> Path:
    """Write `masks/frame_000000/001_person.png` and so on into `folder`: one bit a pixel, white is the instance.

    The number is the instance's place in its frame, best first. A track id follows its category: `001_person_id3.png`.
    A frame without instances has an empty folder.

    Arguments, result and errors are those of each writer in `app.annotation.formats.FORMATS`.
    """
    recording = InstancesFile(instances)
    path = folder / "masks"
    with atomic_folder(path) as partial:
        for frame in recording:
            _write_frame(frame, claim_path(partial / frame.stem, frame.picture))
    return path


def _write_frame(frame: FrameRecord, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, instance in enumerate(frame.instances, 1):
        Image.fromarray(instance.mask().astype(bool)).save(folder / f"{number:03d}_{_name(instance)}.png", "PNG")


def _name(instance: InstanceRecord) -> str:
    category = re.sub(r"[^\w-]+", "_", instance.category)
    return category if instance.track_id is None else f"{category}_id{instance.track_id}"
