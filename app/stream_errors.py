"""The errors of a stream that a user can put right: a branch of `solov2.errors`.

    SOLOv2Error
    └── AppError
        ├── SourceError       a camera, file or stream that cannot be opened or read; its `fault` says of which kind
        ├── SinkError         an output that cannot be made
        │   └── DiskError     the disk refuses: it is full, or the place may not be written
        └── NoDisplayError    a window asked for where there is no display

Each message is one line: what was tried, what was wrong, what to do. Passwords in addresses never appear in it.
"""

import enum

from solov2.errors import SOLOv2Error


class AppError(SOLOv2Error):
    """Something the user can put right; the message is one line."""


class Fault(enum.Enum):
    """What is wrong with a source, as far as it matters for what to do about it."""

    AUTHENTICATION = "authentication"
    NOT_FOUND = "not found"
    BUSY = "held by another program"
    REFUSED = "connection refused"
    TIMED_OUT = "timed out"
    UNKNOWN_HOST = "unknown host"
    NOT_VIDEO = "not a video stream"
    UNSUPPORTED = "unsupported codec or protocol"
    LOST = "connection lost"
    OTHER = "other"

    @property
    def is_permanent(self) -> bool:
        """Whether the same address will fail in the same way again, so that another try is useless."""
        return self in (Fault.AUTHENTICATION, Fault.NOT_VIDEO, Fault.UNSUPPORTED)


class SourceError(AppError):
    """A camera, file or stream that cannot be opened or read.

    Attributes:
        fault: of which kind the failure is.
        reason: the failure in a few words, for a viewer who knows which source it is.
    """

    def __init__(self, message: str, fault: Fault = Fault.OTHER, reason: str = "") -> None:
        """Take the whole `message`; a `reason` is a part of it."""
        super().__init__(message)
        self.fault = fault
        self.reason = reason or message


class SinkError(AppError):
    """An output that cannot be made."""


class DiskError(SinkError):
    """The disk refuses an output, as it would refuse the next one."""


class NoDisplayError(AppError):
    """A window asked for where there is no display."""
