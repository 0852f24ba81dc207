"""Annotation formats: each is written from an `instances.jsonl`, frame by frame, and never holds the file in memory."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

from solov2.errors import UnknownNameError


def _write(function: str, instances: Path, folder: Path) -> Path:
    """Import the function called "module:name", when it is needed, and call it."""
    write: Callable[[Path, Path], Path] = resolve_name(f"app.annotation.formats.{function}")
    return write(instances, folder)


FORMATS: dict[str, Callable[[Path, Path], Path]] = {
    "coco": partial(_write, "coco:write_coco"),
    "yolo": partial(_write, "yolo:write_yolo"),
    "cvat": partial(_write, "cvat:write_cvat"),
    "labelme": partial(_write, "labelme:write_labelme"),
    "masks": partial(_write, "masks:write_masks"),
    "youtube-vis": partial(_write, "youtube_vis:write_youtube_vis"),
}
"""From a format's name to its writer, a function of two paths:

- an `instances.jsonl`, read frame by frame; `SourceError` if it cannot be read;
- the folder to write into, made if it is missing; `SinkError` if a file cannot be written.

It returns the path of the file or folder that it wrote, which appears under its name only when it is whole.
"""

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
