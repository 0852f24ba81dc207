"""Ctrl-C and SIGTERM end a run between two frames, so that every output is finished."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Notes, within its `with` block in the main thread, that the process was told to stop.

    A second signal raises KeyboardInterrupt at once: for those who do not want to wait.

    Attributes:
        was_interrupted: whether a signal came.
    """

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self.was_interrupted = False

    def __enter__(self) -> "Interrupt":
        """Take the signals over."""
        self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def should_stop(self) -> bool:
        """Whether a signal came: what a stream asks while it runs."""
        return self.was_interrupted

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.was_interrupted:
            raise KeyboardInterrupt
        self.was_interrupted = True


@contextmanager
def interrupt_immediately() -> Iterator[None]:
    """Let Ctrl-C end the process on the spot, in a library that cannot be interrupted and leaves nothing behind."""
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
