"""Whether an output can be written: found out before the work begins, and told in one line during it."""

from contextlib import AbstractContextManager
from pathlib import Path

from app.stream_errors import DiskError, SinkError
from solov2 import files

VIDEO_SUFFIXES = (".mp4", ".mkv")
_ADVICE = ". What was written before is kept: make room or choose another place, and run the same command again"


def check_writable(path: Path) -> None:
    """Look whether `path` can be written, as far as can be told without touching it; raise SinkError if not."""
    files.check_writable(path, SinkError)


def check_video_path(path: Path) -> None:
    """Look whether a video can be written to `path`, as far as can be told without touching it.

    Raises:
        SinkError: it cannot, or its name ends neither in .mp4 nor in .mkv.
    """
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise SinkError(f"a video is written as .mp4 or .mkv, got {str(path)!r}: choose a name that ends so")
    check_writable(path)


def writing(path: Path) -> AbstractContextManager[None]:
    """Return a context that turns an error of the disk, in writing `path`, into a DiskError of one line."""
    return files.writing(path, DiskError, _ADVICE)
