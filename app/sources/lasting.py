"""Sources as a viewer wants them: live ones come back after a failure, others are opened as they are."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.sources import SCREEN, find_source, is_camera
from app.sources.address import redact, scheme_of
from app.sources.backoff import Backoff
from app.sources.reconnecting import Listener, ReconnectingSource
from app.sources.source_settings import DEFAULTS, SourceSettings
from app.stream_errors import Fault, SourceError

if TYPE_CHECKING:
    from app.stream.parts import Source

_WEB = frozenset({"http", "https"})  # a live stream or a file, which only shows once it is open


def find_lasting(
    spec: str,
    settings: SourceSettings = DEFAULTS,
    backoff: Backoff | None = None,
    listener: Listener | None = None,
    *,
    waits_for_devices: bool = False,
) -> "Callable[[], Source]":
    """Check that `spec` names something, as `find_source` does, and return what opens it.

    A live source is opened again whenever it fails. One of the network may be offline at the start, too, and another
    program may hold a camera then. What a web server sends is live, or a file: that shows once it is open.

    Args:
        spec: see `open_source`.
        settings: how it is opened.
        backoff: between the tries; by default forever.
        listener: called with every new status of a live source.
        waits_for_devices: a camera or a screen that is not there at the start is waited for; else it is an error.

    Raises:
        SourceError: there is no such file or folder.
    """
    open_once = find_source(spec, settings=settings)
    is_local = is_camera(spec) or spec.startswith(SCREEN)
    scheme = scheme_of(spec)
    if not is_local and scheme is None:
        return open_once
    name = f"camera {int(spec)}" if is_camera(spec) else redact(spec)
    lasting = partial(ReconnectingSource, name, open_once, backoff, listener)
    must_be_there = is_local and not waits_for_devices
    return partial(_open_first, open_once, lasting, must_be_there) if is_local or scheme in _WEB else lasting


def _open_first(
    open_once: "Callable[[], Source]", lasting: "Callable[..., ReconnectingSource]", must_be_there: bool
) -> "Source":
    """Open a source to see whether it is live; one that cannot be reached is taken for a live one that is offline."""
    try:
        source = open_once()
    except SourceError as error:
        if error.fault.is_permanent or (must_be_there and error.fault is not Fault.BUSY):
            raise
        return lasting()
    return lasting(first=source) if source.is_live else source
