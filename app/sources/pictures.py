"""Pictures as a stream: one file, or a folder in natural order. Each is shown for a second of the saved video."""

import io
import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from app.sources.quiet_opencv import quiet_opencv
from app.sources.selection import EVERYTHING, Selection
from app.stream.frames import Frame
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES
from solov2.ordered_map import ordered_map
from solov2.pixel_limit import PICTURE_FORMATS, TIFF_PREFIXES, TooManyPixelsError, check_picture

DECODERS = min(8, max(1, (os.cpu_count() or 1) // 2))  # threads that read ahead
_NAMED_AT_MOST = 3


class PictureSource:
    """The frames of picture files, which may differ in size.

    Attributes:
        paths: of the pictures, in order. A frame's `index` and `pts` are the place of its picture among them.
    """

    is_live = False
    frame_rate: float | None = 1.0
    time_base = Fraction(1)

    def __init__(self, source_id: str, paths: list[Path]) -> None:
        """Look for the first picture that can be read.

        Raises:
            SourceError: none can be read.
        """
        self.source_id = source_id
        self.frame_count: int | None = len(paths)
        self.paths = paths
        self._closed = threading.Event()
        too_large: list[str] = []
        first = next((image for path in paths if (image := _read(path, too_large)) is not None), None)
        if first is None:
            raise SourceError(f"could not read {_named(paths)} as a picture{_reason(too_large)}")
        self.frame_hw = (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        """Yield a frame for each picture; raise SourceError at last if some could not be read."""
        return self.frames()

    def frames(self, selection: Selection = EVERYTHING) -> Iterator[Frame]:
        """Yield a frame for each selected picture, then name those that could not be read. The others are not read.

        Raises:
            SourceError: some pictures could not be read; all others have been yielded.
        """
        unreadable: list[Path] = []
        too_large: list[str] = []
        used = 0
        seconds = itertools.count()  # a picture each
        chosen = selection.choose(self.paths, lambda _: next(seconds))
        for position, path, image in ordered_map(partial(_read_numbered, too_large), chosen, DECODERS):
            if self._closed.is_set():
                return
            if image is None:
                unreadable.append(path)
                continue
            yield Frame(image, position, self.time_base, time.monotonic(), self.source_id, position)
            used += 1
        if unreadable:
            unread = f"could not read {_named(unreadable)} as a picture{_reason(too_large)}"
            raise SourceError(f"{unread}; the other {used} were used")

    def close(self) -> None:
        """Stop at the next picture."""
        self._closed.set()


def open_folder(folder: Path) -> PictureSource:
    """Open the pictures of a folder, sorted so that `9.jpg` comes before `10.jpg`.

    Raises:
        SourceError: there is none, or none can be read.
    """
    paths = [path for path in files_in(folder) if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not paths:
        raise SourceError(f"no pictures in {folder}. Known endings: {', '.join(sorted(PICTURE_SUFFIXES))}")
    return PictureSource(str(folder), sorted(paths, key=natural_order))


def files_in(folder: Path) -> list[Path]:
    """Return what lies in a folder.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise SourceError(f"could not read the folder {folder}: {error.strerror}") from error


def open_picture(path: Path) -> PictureSource:
    """Open one picture as a stream of one frame.

    Raises:
        SourceError: it cannot be read.
    """
    return PictureSource(str(path), [path])


def read_picture(path: Path) -> npt.NDArray[np.uint8] | None:
    """Return a picture file as (H, W, 3) uint8 RGB, upright by its EXIF note, without transparency; None if broken.

    Raises:
        TooManyPixelsError: it declares more than are read.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    return decode_picture(encoded, str(path))


def decode_picture(
    encoded: npt.NDArray[np.uint8], name: str, formats: tuple[str, ...] = PICTURE_FORMATS
) -> npt.NDArray[np.uint8] | None:
    """Return an encoded picture as (H, W, 3) uint8 RGB, upright; None if it is broken, or none of these formats.

    Raises:
        TooManyPixelsError: it declares more pixels than are read; nothing of it is decoded then.
    """
    if not check_picture(encoded.data, name, formats):
        return None
    if (lab := _lab_tiff(encoded)) is not None:
        return lab
    try:
        with quiet_opencv():
            bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _lab_tiff(encoded: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """Return a TIFF in CIELAB as RGB by Pillow, as OpenCV takes another white point; None of anything else."""
    if encoded[:4].tobytes() not in TIFF_PREFIXES:
        return None
    with suppress(Exception), TiffImageFile(io.BytesIO(encoded.data)) as picture:  # Pillow raises whatever it meets
        if picture.mode == "LAB":
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8)
    return None


def _read(path: Path, too_large: list[str]) -> npt.NDArray[np.uint8] | None:
    """Read a picture, and note why if it is too large."""
    try:
        return read_picture(path)
    except TooManyPixelsError as error:
        too_large.append(str(error))
        return None


def _read_numbered(too_large: list[str], numbered: tuple[int, Path]) -> tuple[int, Path, npt.NDArray[np.uint8] | None]:
    position, path = numbered
    return position, path, _read(path, too_large)


def _reason(too_large: list[str]) -> str:
    return f" ({too_large[0]})" if too_large else ""


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sort key by which numbers inside a name count by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())]


def _named(paths: list[Path]) -> str:
    more = len(paths) - _NAMED_AT_MOST
    return ", ".join(map(str, paths[:_NAMED_AT_MOST])) + (f" and {more} more" if more > 0 else "")
