"""What live outputs have in common: one that fails is told in one line and tried again, and the run goes on."""

import sys
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from app.stream.frames import Picture, Result
from app.stream.parts import Policy, Sink
from app.stream_errors import AppError

FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 1.0, 15.0


class OutputError(AppError):
    """An output that does not take pictures now; the message is a reason of a few words."""


class LiveOutput(Sink):
    """Sends the newest picture whenever it is ready for one.

    Attributes:
        name: of the output, without any password.
        sent: pictures that were taken.
    """

    policy: ClassVar[Policy] = "latest"

    def __init__(self, name: str, tell: Callable[[str], None] | None = None) -> None:
        """Send nothing yet; `tell` gets a line when it fails and when it works again, None prints it."""
        self.name, self.sent = name, 0
        self._tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))
        self._failures = 0
        self._next_try = 0.0

    @abstractmethod
    def send(self, picture: Picture, result: Result) -> None:
        """Send a picture, (H, W, 3) uint8 RGB, connecting first if need be; raise OutputError if that fails."""

    @abstractmethod
    def disconnect(self) -> None:
        """Let go of what is open, if anything is; never raises. `send` may be called again."""

    def write(self, result: Result) -> None:
        """Send the picture, unless the output failed a moment ago."""
        if time.monotonic() < self._next_try:
            return
        try:
            self.send(result.picture, result)
        except OutputError as error:
            self._fail(error)
            return
        self.sent += 1
        if self._failures:
            self._tell(f"{self.name} takes pictures again")
        self._failures = 0

    def close(self) -> None:
        """End it."""
        self.disconnect()

    def _fail(self, error: OutputError) -> None:
        self.disconnect()
        if not self._failures:
            self._tell(f"{self.name} does not take pictures: {error}; it is tried again, and the run goes on")
        self._next_try = time.monotonic() + min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 32)
