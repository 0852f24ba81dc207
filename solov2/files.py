"""Which files are pictures, and writing files: what to say when that fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solov2.errors import SOLOv2Error

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def check_writable(path: Path) -> None:
    """Make the folder of a file that will be written much later, and say now if that will not work.

    Raises:
        SOLOv2Error: `path` is a folder, or its folder cannot be made or written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise SOLOv2Error(f"could not write {path}: Is a directory")
    if is_pipe(path):
        raise SOLOv2Error(f"could not write {path}: it is a named pipe, whose reader may never come. Name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SOLOv2Error(f"could not write {path}: Permission denied")


def is_pipe(path: Path) -> bool:
    """Whether opening `path` may wait for ever: a named pipe, but not the process's own /dev/stdout."""
    return path.is_fifo() and not os.path.realpath(path).startswith(("/proc/", "/dev/fd/"))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the disk's refusal into one line.

    Raises:
        SOLOv2Error: the block could not write `path`.
    """
    try:
        yield
    except OSError as error:
        raise SOLOv2Error(f"could not write {path}: {error.strerror}") from error
