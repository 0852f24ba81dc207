"""Waiting until something has happened, without a guess at how long that takes."""

import time
from collections.abc import Callable


def wait_until(is_true: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as `is_true` says so; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
