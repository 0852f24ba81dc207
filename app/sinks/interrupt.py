"""Ctrl-C and SIGTERM end a run between two frames, so that every output is finished."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.stream.frames import Result
from app.stream.pipeline import Picture, Quit


class InterruptSink:
    """Ends the run when the process is told to stop. Inside its `with` block, and in the main thread only.

    A second signal raises KeyboardInterrupt at once: for whoever does not want to wait.

    Attributes:
        was_interrupted: whether a signal came.
    """

    needs_picture = False

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self.was_interrupted = False

    def __enter__(self) -> "InterruptSink":
        """Take the signals over."""
        self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def write(self, result: Result, picture: Picture | None) -> None:
        """Raise Quit if a signal has come."""
        self.idle()

    def idle(self) -> None:
        """Raise Quit if a signal has come."""
        if self.was_interrupted:
            raise Quit

    def close(self) -> None:
        """Nothing to end."""

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
