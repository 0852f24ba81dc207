"""Errors of standard output, such as a full disk behind `>`, told from those of other files."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast


class OutputError(Exception):
    """Standard output cannot be written, and its reader has not just gone."""


class _Output:
    """Standard output, whose errors can be told from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.strerror) from error


@contextmanager
def telling_output_errors() -> Iterator[None]:
    """Turn errors of standard output in the block, unless its reader has gone, into `OutputError`."""
    if sys.stdout is None:
        yield
        return
    with redirect_stdout(cast("TextIO", _Output(sys.stdout))):
        yield


def drop_standard_output() -> None:
    """Let what is still to be flushed at exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
