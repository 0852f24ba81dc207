"""The screen of this machine, or a rectangle of it, through FFmpeg's grabbers, which PyAV's wheels hold."""

import os
import re
import sys
from dataclasses import dataclass

import av

from app.sources.live import LiveSource
from app.stream_errors import Fault, SourceError

SCREEN = "screen:"
FPS = 30

_REGION = re.compile(r"(\d+),(\d+),(\d+)x(\d+)")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the screen, in pixels from its upper left corner."""

    left: int
    top: int
    width: int
    height: int


def parse_region(spec: str) -> Region | None:
    """Return the region in `screen:LEFT,TOP,WIDTHxHEIGHT`; None for `screen:`, the whole screen.

    Raises:
        SourceError: it is neither.
    """
    text = spec.removeprefix(SCREEN)
    if not text:
        return None
    found = _REGION.fullmatch(text)
    if found is None or not (int(found[3]) and int(found[4])):
        raise SourceError(f"a screen is 'screen:' or 'screen:LEFT,TOP,WIDTHxHEIGHT', got {spec!r}", Fault.UNSUPPORTED)
    return Region(*map(int, found.groups()))


def open_screen(spec: str) -> LiveSource:
    """Open `screen:` or `screen:LEFT,TOP,WIDTHxHEIGHT`.

    Raises:
        SourceError: there is no screen, it may not be read, or the region is none of it.
    """
    file, grabber, options = _grabber(parse_region(spec))
    try:
        container = av.open(file, format=grabber, options=options)
    except (av.FFmpegError, ValueError) as error:
        reason = "no display, no permission to record it, or a region outside of it"
        raise SourceError(f"could not open {spec}: {reason}", Fault.OTHER, reason) from error
    return LiveSource(container, spec)


def _grabber(region: Region | None) -> tuple[str, str, dict[str, str]]:
    """What to open, with which of FFmpeg's devices, and its options, on this system."""
    options = {"framerate": str(FPS)}
    if region is not None and sys.platform != "darwin":
        options["video_size"] = f"{region.width}x{region.height}"
    if sys.platform == "darwin":
        if region is not None:
            raise SourceError("a region of the screen cannot be chosen on macOS: use 'screen:'", Fault.UNSUPPORTED)
        return "Capture screen 0:none", "avfoundation", options
    if sys.platform == "win32":
        corner = {} if region is None else {"offset_x": str(region.left), "offset_y": str(region.top)}
        return "desktop", "gdigrab", options | corner
    corner = {} if region is None else {"grab_x": str(region.left), "grab_y": str(region.top)}
    return os.environ.get("DISPLAY", ":0"), "x11grab", options | corner
