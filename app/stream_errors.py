"""The errors of a stream that a user can put right: a branch of `solov2.errors`.

    SOLOv2Error
    └── AppError
        ├── SourceError       a camera, file or stream that cannot be opened or read
        ├── SinkError         an output that cannot be written
        └── NoDisplayError    a window asked for where there is no display

Each message is one line: what was tried, what was wrong, what to do. Passwords in addresses never appear in it.
"""

from solov2.errors import SOLOv2Error


class AppError(SOLOv2Error):
    """Something the user can put right; the message is one line."""


class SourceError(AppError):
    """A camera, file or stream that cannot be opened or read."""


class SinkError(AppError):
    """An output that cannot be written."""


class NoDisplayError(AppError):
    """A window asked for where there is no display."""
