"""The pictures that annotations belong to, under the names that the annotations use."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from app.annotation.formats.atomic import atomic_folder
from app.annotation.jsonl_reader import FrameRecord, InstancesFile
from app.sources.pictures import PictureSource, read_picture
from app.stream.frames import Frame
from app.stream_errors import SinkError


def write_pictures(instances: Path, folder: Path, source: Iterable[Frame]) -> Path:
    """Write `images/frame_000000.jpg` and so on into `folder`, for the frames in `instances`.

    Args:
        instances: an `instances.jsonl`.
        folder: made if it is missing.
        source: what was annotated, from its beginning; of pictures those are taken that have the names in `instances`.

    Returns:
        The folder that was written.

    Raises:
        SourceError: `instances` or the frames cannot be read.
        SinkError: a picture cannot be written, or the frames end before the annotations do.
    """
    path = folder / "images"
    records = iter(InstancesFile(instances))
    with atomic_folder(path) as partial:
        if isinstance(source, PictureSource):
            _write_by_name(records, partial, source)
            return path
        wanted = next(records, None)
        for frame in source:
            if wanted is not None and frame.index == wanted.frame:
                _write(partial / wanted.picture, frame.image)
                wanted = next(records, None)
            if wanted is None:
                return path
        if wanted is not None:
            raise SinkError(f"{instances} tells of frame {wanted.frame}, and the pictures end before it: wrong source?")
    return path


def _write_by_name(records: Iterable[FrameRecord], folder: Path, source: PictureSource) -> None:
    path_of = {path.name: path for path in source.paths}
    for record in records:
        path = path_of.get(record.picture)
        image = read_picture(path) if path is not None else None
        if image is None:
            raise SinkError(f"{source.source_id} holds no picture {record.picture} that can be read: wrong source?")
        _write(folder / record.picture, image)


def _write(path: Path, image: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    try:
        _, data = cv2.imencode(path.suffix, bgr)
    except cv2.error as error:
        raise SinkError(f"could not write {path}: OpenCV writes no {path.suffix} files") from error
    path.write_bytes(data.tobytes())
