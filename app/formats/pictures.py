"""The pictures that annotations belong to, under the names that the annotations use."""

from collections.abc import Iterable
from pathlib import Path

import cv2

from app.errors import SinkError
from app.formats.records import InstancesFile
from app.formats.whole import whole_folder
from app.frames import Frame


def write_pictures(instances: Path, folder: Path, frames: Iterable[Frame]) -> Path:
    """Write `images/frame_000000.jpg` and so on into `folder`, for the frames in `instances`.

    Args:
        instances: an `instances.jsonl`.
        folder: made if it is missing.
        frames: of the source that was annotated, from its beginning.

    Returns:
        The folder that was written.

    Raises:
        SourceError: `instances` or the frames cannot be read.
        SinkError: a picture cannot be written, or the frames end before the annotations do.
    """
    path = folder / "images"
    records = iter(InstancesFile(instances))
    with whole_folder(path) as partial:
        wanted = next(records, None)
        for frame in frames:
            if wanted is not None and frame.index == wanted.frame:
                _write(partial / wanted.picture, frame)
                wanted = next(records, None)
            if wanted is None:
                return path
        if wanted is not None:
            raise SinkError(f"{instances} tells of frame {wanted.frame}, and the pictures end before it: wrong source?")
    return path


def _write(path: Path, frame: Frame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    try:
        _, data = cv2.imencode(path.suffix, bgr)
    except cv2.error as error:
        raise SinkError(f"could not write {path}: OpenCV writes no {path.suffix} files") from error
    path.write_bytes(data.tobytes())
