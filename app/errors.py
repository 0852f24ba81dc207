"""The errors of a stream that a user can put right.

    AppError
    ├── SourceError       a camera, file or stream that cannot be opened or read
    ├── SinkError         an output that cannot be written
    └── NoDisplayError    a window asked for where there is no display

Each message is one line: what was tried, what was wrong, what to do. Passwords in addresses never appear in it.
"""


class AppError(Exception):
    """Something the user can put right; the message is one line."""


class SourceError(AppError):
    """A camera, file or stream that cannot be opened or read."""


class SinkError(AppError):
    """An output that cannot be written."""


class NoDisplayError(AppError):
    """A window asked for where there is no display."""
