"""Where frames come from: cameras, video files, pictures, network streams, and the built-in clip."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.sources.address import redact, scheme_of
from app.sources.camera import Camera, CameraSource, list_cameras
from app.sources.demo import DemoSource
from app.sources.network import open_network
from app.sources.paced import PacedSource
from app.sources.pictures import PICTURE_SUFFIXES, open_folder, open_picture
from app.sources.video import open_video
from app.stream_errors import SourceError

if TYPE_CHECKING:
    from app.stream.pipeline import Source

_CAMERA_DIGITS = 3

__all__ = ["Camera", "PacedSource", "find_source", "list_cameras", "open_source", "redact"]


def open_source(spec: str, uses_gpu: bool = False) -> "Source":
    """Open a source.

    Args:
        spec: a camera's number such as `0`, the path of a video, a picture or a folder of pictures, an address such as
            `rtsp://host/path`, or `demo`, the built-in clip.
        uses_gpu: a video file is decoded on the NVIDIA device where that works.

    Raises:
        SourceError: there is no such source, or it cannot be read.
    """
    return find_source(spec, uses_gpu)()


def find_source(spec: str, uses_gpu: bool = False) -> "Callable[[], Source]":
    """Check that `spec` names something, and return what opens it, as `open_source` does. Nothing is opened yet.

    Raises:
        SourceError: there is no such file or folder.
    """
    if spec == "demo":
        return DemoSource
    if spec.isdecimal() and len(spec) <= _CAMERA_DIGITS:
        return partial(CameraSource, int(spec))
    if scheme_of(spec) is not None:
        return partial(open_network, spec)
    path = Path(spec)
    if not spec or not os.path.exists(path):
        raise SourceError(f"no such file or folder: {spec}. A source is a camera number, a path, an address or 'demo'")
    if path.is_dir():
        return partial(open_folder, path)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return partial(open_picture, path)
    return partial(open_video, path, uses_gpu)
