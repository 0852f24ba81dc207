"""Which files are pictures, and writing files: what to say when that fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solov2.errors import SOLOv2Error

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def check_writable(path: Path, kind: type[SOLOv2Error] = SOLOv2Error, makes_folder: bool = False) -> None:
    """Say before the work whether `path` can be written after it, as far as can be told without touching it.

    Args:
        path: of the file.
        kind: of the error that is raised.
        makes_folder: make the file's folder now, where it is missing.

    Raises:
        SOLOv2Error: of that kind: it cannot be written.
    """
    if makes_folder:
        with writing(path, kind):
            path.parent.mkdir(parents=True, exist_ok=True)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_dir():
        raise kind(f"{path} is a folder: name a file in it")
    if is_pipe(path):
        raise kind(f"{path} is a named pipe, whose reader may never come: name a file")
    if not target.parent.is_dir():
        raise kind(f"could not write {path}: there is no folder {target.parent}. Create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise kind(f"could not write {path}: no permission. Choose another place")


def is_pipe(path: Path) -> bool:
    """Whether opening `path` may wait forever: a named pipe, but not the process's own /dev/stdout."""
    return path.is_fifo() and not os.path.realpath(path).startswith(("/proc/", "/dev/fd/"))


@contextmanager
def writing(path: Path, kind: type[SOLOv2Error] = SOLOv2Error, advice: str = "") -> Iterator[None]:
    """Turn an error of the disk into one line.

    Args:
        path: what the block writes.
        kind: of the error that is raised.
        advice: the end of its message.

    Raises:
        SOLOv2Error: of that kind: the block could not write `path`.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"could not write {path}: {error.strerror}{advice}") from error


def find_pictures(folder: Path) -> list[Path]:
    """Return all pictures in `folder` and below, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
