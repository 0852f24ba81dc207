"""Picture files of a labelled folder: which there are, and how large each is seen."""

import os
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from solov2.data.coco_dataset import UPRIGHT
from solov2.errors import DatasetError
from solov2.pixel_limit import check_file
from solov2.pixels import Size

_ORIENTATION_TAG = 0x0112
_QUARTER_TURNS = frozenset({5, 6, 7, 8})  # orientations that swap width and height


def picture_sizes(path: Path) -> tuple[Size, Size]:
    """Return (height, width) as seen, with the EXIF rotation applied, and as stored; only the header is read.

    Raises:
        DatasetError: the file is missing or no picture.
        TooManyPixelsError: it declares more than are read.
    """
    try:
        check_file(path)
        with Image.open(path) as picture:
            width, height = picture.size
            is_turned = picture.getexif().get(_ORIENTATION_TAG) in _QUARTER_TURNS
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is not a picture that can be read") from error
    except OSError as error:
        raise DatasetError(f"could not read {path}: {error.strerror or error}") from error
    return ((width, height) if is_turned else (height, width)), (height, width)


def check_size(path: Path, size: Size, labels_file: Path) -> tuple[Size, Size]:
    """Return what `picture_sizes` does, one of which labels of (height, width) `size` must be of.

    Raises:
        DatasetError: they are of neither, or the picture cannot be read.
    """
    upright, stored = picture_sizes(path)
    if size not in (upright, stored):
        raise DatasetError(
            f"{labels_file} says that {path.name} is of {size[1]}x{size[0]} pixels, but it has {stored[1]}x{stored[0]}"
        )
    return upright, stored


def upright_entry(path: Path, folder: Path) -> dict[str, Any]:
    """Return COCO's entry of a picture that was labelled with its EXIF rotation applied."""
    (height, width), _ = picture_sizes(path)
    return {"file_name": relative_name(path, folder), "height": height, "width": width, UPRIGHT: True}


def relative_name(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, or whole where it lies elsewhere."""
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))  # keeps links, unlike resolve
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
