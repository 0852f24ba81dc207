"""Where frames come from: cameras, video files, pictures, network streams, the screen, and the built-in clip.

Each kind of source is imported when one is opened: PyAV for files alone, OpenCV's cameras for cameras alone.
"""

import os
from collections.abc import Callable
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from app.sources.address import redact, scheme_of
from app.sources.source_settings import SourceSettings
from app.stream_errors import Fault, SourceError
from solov2.errors import printable
from solov2.files import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from app.stream.parts import Source

_CAMERA_DIGITS = 3
SCREEN = "screen:"

__all__ = ["SCREEN", "find_source", "is_camera", "may_be_live", "open_source", "redact"]


def open_source(spec: str, uses_gpu: bool = False) -> "Source":
    """Open a source.

    Args:
        spec: a camera's number such as `0`; the path of a video, of a picture, or of a folder of either; a pattern such
            as `clips/*.mp4`; an address such as `rtsp://host/path`; `screen:` or a part of it,
            `screen:LEFT,TOP,WIDTHxHEIGHT`; or `demo`, the built-in clip.
        uses_gpu: a video file is decoded on the NVIDIA device where that works.

    Raises:
        SourceError: there is no such source, or it cannot be read.
    """
    return find_source(spec, uses_gpu)()


def is_camera(spec: str) -> bool:
    """Whether `spec` is a camera's number."""
    return spec.isdecimal() and len(spec) <= _CAMERA_DIGITS


def find_source(spec: str, uses_gpu: bool = False, settings: SourceSettings | None = None) -> "Callable[[], Source]":
    """Check that `spec` names something, and return what opens it, as `open_source` does. Nothing is opened yet.

    Args:
        spec: see `open_source`.
        uses_gpu: see `open_source`.
        settings: how it is opened; instead of `uses_gpu`.

    Raises:
        SourceError: there is no such file or folder.
    """
    settings = settings or SourceSettings(uses_gpu)
    if spec == "demo":
        return _open_demo
    if is_camera(spec):
        return partial(_open_camera, int(spec), settings)
    if scheme_of(spec) is not None:
        return partial(_open_network, spec, settings)
    if spec.startswith(SCREEN):
        return partial(_open_screen, spec)
    path = Path(spec)
    if is_pattern(spec):
        return partial(_open_pattern, spec, settings)
    if not spec or not os.path.exists(path):
        raise SourceError(
            f"no such file or folder: {printable(spec)}. A source is a camera number, a path, an address or 'demo'",
            Fault.NOT_FOUND,
            "no such file or folder",
        )
    if path.is_dir():
        return partial(_open_folder, path, settings)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return partial(_open_picture, path)
    return partial(_open_video, path, settings.uses_gpu)


def may_be_live(spec: str) -> bool:
    """Return whether frames may be lost while nobody reads them: of every source but files and the built-in clip."""
    return spec != "demo" and not os.path.exists(spec) and not is_pattern(spec)


def is_pattern(spec: str) -> bool:
    """Whether `spec` is a pattern of file names, such as `clips/*.mp4`."""
    return any(sign in spec for sign in "*?[") and scheme_of(spec) is None and not os.path.exists(spec)


def _open_demo() -> "Source":
    from app.sources.demo import DemoSource

    return DemoSource()


def _open_camera(number: int, settings: SourceSettings) -> "Source":
    from app.sources.camera import CameraSource

    return CameraSource(number, settings)


def _open_network(address: str, settings: SourceSettings) -> "Source":
    from app.sources.network import open_network

    return open_network(address, settings=settings)


def _open_screen(spec: str) -> "Source":
    from app.sources.screen import ScreenSource

    return ScreenSource(spec)


def _open_picture(path: Path) -> "Source":
    from app.sources.pictures import open_picture

    return open_picture(path)


def _open_folder(path: Path, settings: SourceSettings) -> "Source":
    from app.sources.pictures import files_in, open_folder
    from app.sources.playlist import PlaylistSource, holds_videos_alone, videos_in

    if not holds_videos_alone(path):
        return open_folder(path)
    return PlaylistSource(
        str(path), (partial(_open_video, one, settings.uses_gpu) for one in videos_in(files_in(path)))
    )


def _open_pattern(spec: str, settings: SourceSettings) -> "Source":
    from app.sources.playlist import PlaylistSource, files_of

    found = files_of(spec, map(Path, glob(spec, recursive=True)))
    return PlaylistSource(spec, (find_source(str(path), settings=settings) for path in found))


def _open_video(path: Path, uses_gpu: bool) -> "Source":
    from app.sources.video import open_video

    return open_video(path, uses_gpu)
