"""Annotation formats: each is written from an `instances.jsonl`, frame by frame, and never holds the file in memory."""

from collections.abc import Callable, Iterable
from pathlib import Path

from app.annotation.formats.coco import write_coco
from app.annotation.formats.cvat import write_cvat
from app.annotation.formats.labelme import write_labelme
from app.annotation.formats.masks import write_masks
from app.annotation.formats.yolo import write_yolo
from app.annotation.formats.youtube_vis import write_youtube_vis
from solov2 import UnknownNameError

FORMATS: dict[str, Callable[[Path, Path], Path]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "cvat": write_cvat,
    "labelme": write_labelme,
    "masks": write_masks,
    "youtube-vis": write_youtube_vis,
}
"""From a format's name to what writes it: called with an `instances.jsonl` and a folder, it returns what it wrote."""

NEED_TRACK_IDS = frozenset({"youtube-vis"})
"""The formats that are refused where nobody tracked."""


def check_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names` in order, each once.

    Raises:
        UnknownNameError: one is not among `FORMATS`.
    """
    for name in (chosen := tuple(sorted(set(names)))):
        if name not in FORMATS:
            raise UnknownNameError("format", name, FORMATS)
    return chosen
