"""OpenCV writes its own complaints to standard error; where a failure is reported in one line they are turned off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_levels: list[int] = []  # the one to go back to, once for each block that is being run


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing to standard error, as long as any thread is in such a block."""
    with _lock:
        _levels.append(_levels[0] if _levels else cv2.utils.logging.getLogLevel())
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        with _lock:
            level = _levels.pop()
            if not _levels:
                cv2.utils.logging.setLogLevel(level)
