"""Where frames come from: cameras, video files, pictures, network streams, and the built-in clip.

Each kind of source is imported when one is opened: PyAV for files alone, OpenCV's cameras for cameras alone.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.sources.address import redact, scheme_of
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from app.stream.parts import Source

_CAMERA_DIGITS = 3

__all__ = ["find_source", "open_source", "redact"]


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
        return _open_demo
    if spec.isdecimal() and len(spec) <= _CAMERA_DIGITS:
        return partial(_open_camera, int(spec))
    if scheme_of(spec) is not None:
        return partial(_open_network, spec)
    path = Path(spec)
    if not spec or not os.path.exists(path):
        raise SourceError(f"no such file or folder: {spec}. A source is a camera number, a path, an address or 'demo'")
    if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES:
        return partial(_open_pictures, path)
    return partial(_open_video, path, uses_gpu)


def _open_demo() -> "Source":
    from app.sources.demo import DemoSource

    return DemoSource()


def _open_camera(number: int) -> "Source":
    from app.sources.camera import CameraSource

    return CameraSource(number)


def _open_network(address: str) -> "Source":
    from app.sources.network import open_network

    return open_network(address)


def _open_pictures(path: Path) -> "Source":
    from app.sources.pictures import open_folder, open_picture

    return open_folder(path) if path.is_dir() else open_picture(path)


def _open_video(path: Path, uses_gpu: bool) -> "Source":
    from app.sources.video import open_video

    return open_video(path, uses_gpu)
