"""One limit on the pixels of a picture or video, by the size that its header declares, before anything is decoded.

A file of a few hundred bytes can declare any size, and decoding it would take as much memory as it says.
"""

import argparse
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from solov2.errors import SOLOv2Error

MAX_MEGAPIXELS = 64
VARIABLE = "SOLOV2_MAX_MEGAPIXELS"  # in the environment, so that worker processes have the same limit
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "SUN", "AVIF")
_PREFIX_BYTES = 16  # what Pillow's formats are recognised by
TIFF_PREFIXES = (b"II*\0", b"MM\0*")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


class TooManyPixelsError(SOLOv2Error):
    """A picture or video that declares more pixels than are read."""


def max_pixels() -> int:
    """Return how many pixels a picture or a frame may have."""
    with suppress(ValueError):
        return int(os.environ.get(VARIABLE, MAX_MEGAPIXELS)) * 1_000_000
    raise SOLOv2Error(f"{VARIABLE} must be a whole number of megapixels, got {os.environ[VARIABLE]!r}")


def decoder_options() -> dict[str, str]:
    """Return the options by which FFmpeg's decoders keep the limit, also where the size changes in mid-stream."""
    return {"max_pixels": str(max_pixels())}


def check_pixels(width: int, height: int, name: str) -> None:
    """Compare a declared size in px with the limit.

    Raises:
        TooManyPixelsError: it is larger.
    """
    if width * height > max_pixels():
        raise TooManyPixelsError(
            f"{name} has {width}x{height} pixels, and at most {max_pixels() // 1_000_000} megapixels are read: "
            "--max-megapixels allows more"
        )


def check_file(path: Path) -> bool:
    """Check the size that a picture file declares; return whether it is a picture that can be read at all.

    Raises:
        TooManyPixelsError: it is larger than the limit.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = declared_size(file)
    if size is not None:
        check_pixels(*size, str(path))
    return size is not None


def check_picture(data: "bytes | memoryview", name: str, formats: tuple[str, ...] = PICTURE_FORMATS) -> bool:
    """Check the size that an encoded picture declares; return whether it is a picture of these formats at all.

    Raises:
        TooManyPixelsError: it is larger than the limit.
    """
    size = declared_size(io.BytesIO(data), formats)
    if size is not None:
        check_pixels(*size, name)
    return size is not None


def declared_size(file: BinaryIO, formats: tuple[str, ...] = PICTURE_FORMATS) -> tuple[int, int] | None:
    """Return the (width, height) in px that a picture's header declares; None where it is no picture of `formats`.

    Pillow's own `Image.open` would compare the size with a limit of its own, which is one for the whole process.
    """
    from PIL import Image

    Image.init()
    prefix = file.read(_PREFIX_BYTES)
    for name in formats:
        make, accepts = Image.OPEN.get(name, (None, None))
        if make is None:
            continue
        with suppress(Exception):  # Pillow's formats raise whatever they meet
            is_match = accepts is None or accepts(prefix)
            if not is_match or isinstance(is_match, str):  # a text says why a format cannot be read here
                continue
            file.seek(0)
            with make(file, "") as picture:
                return picture.size
    return _tiff_size(file) if prefix[:4] in TIFF_PREFIXES and "TIFF" in formats else None


def _tiff_size(file: BinaryIO) -> tuple[int, int] | None:
    """Read the size of a TIFF of a kind that OpenCV knows and Pillow does not, such as three float channels."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file.seek(0)
    with suppress(Exception):
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return int(cast(Mapping[int, int], tags)[_TIFF_WIDTH]), int(cast(Mapping[int, int], tags)[_TIFF_HEIGHT])
    return None


def add_pixel_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option `--max-megapixels` that `run_command` applies."""
    parser.add_argument(
        "--max-megapixels",
        type=_megapixels,
        metavar="N",
        help=f"largest picture or frame that is read ({MAX_MEGAPIXELS})",
    )


def apply_pixel_option(options: argparse.Namespace) -> None:
    """Let the limit of this process and those it starts be what the option says, if it was given."""
    if getattr(options, "max_megapixels", None) is not None:
        os.environ[VARIABLE] = str(options.max_megapixels)


def _megapixels(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 9999, got {text!r}")
    return int(text)
