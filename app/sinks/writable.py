"""Whether a file can be written: found out before the work begins, and told in one line during it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.stream_errors import DiskError, SinkError
from solov2.files import is_pipe


def check_writable(path: Path) -> None:
    """Look whether `path` can be written, as far as can be told without touching it.

    Raises:
        SinkError: it cannot.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_dir():
        raise SinkError(f"{path} is a folder: name a file in it")
    if is_pipe(path):
        raise SinkError(f"{path} is a named pipe, whose reader may never come: name a file")
    if not target.parent.is_dir():
        raise SinkError(f"could not write {path}: there is no folder {target.parent}. Create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise SinkError(f"could not write {path}: no permission. Choose another place")


def check_video_path(path: Path) -> None:
    """Look whether a video can be written to `path`, as far as can be told without touching it.

    Raises:
        SinkError: it cannot, or its name does not end in .mp4.
    """
    if path.suffix.lower() != ".mp4":
        raise SinkError(f"a video is written as .mp4, got {str(path)!r}: choose a name that ends in .mp4")
    check_writable(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one line.

    Raises:
        DiskError: the block could not write `path`.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"could not write {path}: {error.strerror}. What was written before is kept: "
            "make room or choose another place, and run the same command again"
        ) from error
