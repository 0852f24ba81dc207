"""One thread reads a device, another one may close it."""

import threading
from collections.abc import Callable
from types import TracebackType


class Reading:
    """Releases a device when its reader is done, or at once where nobody reads: never while it is being read.

    The reader works in a `with` block, and leaves it when `is_closed`.
    """

    def __init__(self, release: Callable[[], object]) -> None:
        """Take what releases the device; it may be called more than once."""
        self._release = release
        self._closed = threading.Event()
        self._is_read = threading.Lock()

    @property
    def is_closed(self) -> bool:
        """Whether the reader should stop."""
        return self._closed.is_set()

    def __enter__(self) -> "Reading":
        """Begin to read."""
        self._is_read.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End reading, and release the device."""
        try:
            self._release()
        finally:
            self._is_read.release()

    def close(self) -> None:
        """Stop: a thread that is reading stops at its next picture and releases the device itself."""
        self._closed.set()
        if self._is_read.acquire(blocking=False):
            self.__exit__(None, None, None)
