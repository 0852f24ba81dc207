"""Outputs that appear under their name only when they are whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from app.stream_errors import DiskError, SinkError
from solov2.output_lock import locked


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIOWrapper]:
    """Open a text file beside `path` for writing; at the end of the block it takes the place of `path`.

    Raises:
        DiskError: it cannot be written.
        SOLOv2Error: another run writes it.
    """
    partial = path.with_name(f"{path.name}.partial")
    with _locked_folder(path), _replacing(path, partial):
        _remove(partial)  # it may be a link to elsewhere
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        partial.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make an empty folder beside `path` to write into; at the end of the block it takes the place of `path`.

    Raises:
        DiskError: it cannot be written.
        SOLOv2Error: another run writes it.
    """
    partial = path.with_name(f"{path.name}.partial")
    with _locked_folder(path), _replacing(path, partial):
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        before = path.with_name(f"{path.name}.before")
        _remove(before)
        if path.exists():
            path.rename(before)
        partial.rename(path)
        _remove(before)


def claim_path(path: Path, picture: str) -> Path:
    """Return `path`, whose folder is made.

    Raises:
        SinkError: it is there already, from another picture than `picture`.
    """
    if path.exists():
        raise SinkError(f"two pictures would both have {path.name}, {picture} is one of them: rename it")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _locked_folder(path: Path) -> Iterator[None]:
    """Make the folder of `path`, and keep other runs from writing `path` during the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"could not write {path}: {error.strerror}") from error
    with locked(path):
        yield


@contextmanager
def _replacing(path: Path, partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _remove(partial)
        raise DiskError(f"could not write {path}: {error.strerror}") from error
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
