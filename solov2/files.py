"""Writing files, and what to say when that fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solov2.errors import SOLOv2Error


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
