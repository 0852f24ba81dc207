"""The errors that a user can put right.

    SOLOv2Error
    ├── UnknownNameError      a variant, class, preset or device that does not exist
    ├── CheckpointError       a weights file that cannot be read, or does not fit the variant
    ├── DownloadError         official weights that could not be fetched or failed their hash
    ├── DatasetError          annotations or pictures that cannot be used
    ├── EngineError           an engine that cannot run a network here, or gives other masks than torch
    ├── MissingExtraError     a library that belongs to an extra of this package is not installed
    └── AppError              of the stream, see `app.stream_errors`

Each message is one sentence or two on one line: what must hold, what was got, what to do. A front door prints it and
exits with code 2; every other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence

_MAX_NAME_LENGTH = 200  # of a wrong name in a message


class SOLOv2Error(Exception):
    """Something the user can put right; the message is one line."""


class UnknownNameError(SOLOv2Error, ValueError):
    """A name that is not among the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which `kind` of name was wrong, the closest known one, and all of them."""
        names, name = list(known), name[:_MAX_NAME_LENGTH]
        close = min(difflib.get_close_matches(name, names), key=lambda known: abs(len(known) - len(name)), default=None)
        hint = f" Did you mean {close!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}")


class CheckpointError(SOLOv2Error):
    """A weights file that cannot be read, or whose tensors do not fit."""


class DownloadError(SOLOv2Error):
    """Official weights that could not be fetched or failed their hash."""


class DatasetError(SOLOv2Error):
    """Annotations or pictures that cannot be used."""


class EngineError(SOLOv2Error):
    """An engine that cannot run a network on this machine, or whose masks differ from those of torch."""


class MissingExtraError(SOLOv2Error, ImportError):
    """A library that only some parts need is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        """Say which one, and the extra of this package that installs it."""
        super().__init__(f"this needs {library}, which is not installed. Try: pip install 'solov2-live[{extra}]'")


def few_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first of `names` for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def printable(text: str, max_length: int = 200) -> str:
    """Return a name for a message: as it is if it can be printed and is no longer than that, else as `brief` has it."""
    return text if text.isprintable() and len(text) <= max_length else brief(text, max_length)


def brief(value: object, max_length: int = 60) -> str:
    """Return `value` for a message: on one line, in ASCII, and cut after `max_length` characters."""
    text = ascii(value)
    return text if len(text) <= max_length else f"{text[:max_length]}..."
