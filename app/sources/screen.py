"""The screen of this machine, or a rectangle of it, through `mss`.

FFmpeg's grabber of X11, which PyAV's wheel holds, ends the process once OpenCV's window is loaded beside it.
"""

import dataclasses
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import cv2
import mss
import numpy as np
import numpy.typing as npt

from app.stream.frames import Frame, Picture
from app.stream.lazy import Lazy
from app.stream_errors import Fault, SourceError

_SCREEN = "screen:"
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
    text = spec.removeprefix(_SCREEN)
    if not text:
        return None
    found = _REGION.fullmatch(text)
    if found is None or not (int(found[3]) and int(found[4])):
        raise SourceError(f"a screen is 'screen:' or 'screen:LEFT,TOP,WIDTHxHEIGHT', got {spec!r}", Fault.UNSUPPORTED)
    return Region(*map(int, found.groups()))


class ScreenSource:
    """The pictures of a screen, with the time of their grabbing in microseconds as `pts`.

    Attributes:
        details: size and rate.
    """

    is_live = True
    frame_count: int | None = None
    frame_rate: float | None = float(FPS)
    time_base = Fraction(1, 1_000_000)
    corrupt = 0

    def __init__(self, spec: str) -> None:
        """Open `screen:` or `screen:LEFT,TOP,WIDTHxHEIGHT`, and grab a picture to see whether that works.

        Raises:
            SourceError: there is no screen, it may not be read, or the region is none of it.
        """
        self.source_id = spec
        self._region = parse_region(spec)
        self._closed = threading.Event()
        with self._grabbing() as grab:
            height, width = grab().shape[:2]
        self.frame_hw = (height, width)
        self.details = f"{width}x{height} screen {FPS} fps"

    def __iter__(self) -> Iterator[Frame]:
        """Yield pictures, `FPS` a second at most; raise SourceError when the screen goes away."""
        started = time.monotonic()
        with self._grabbing() as grab:
            for index in itertools.count():
                now = time.monotonic()
                bgra = grab()
                pixels = Lazy(partial(_rgb, bgra))
                yield Frame(pixels, round((now - started) / self.time_base), self.time_base, now, self.source_id, index)
                if self._closed.wait(max(0.0, now + 1 / FPS - time.monotonic())):
                    return

    def close(self) -> None:
        """Stop at the next picture."""
        self._closed.set()

    @contextmanager
    def _grabbing(self) -> Iterator[Callable[[], npt.NDArray[np.uint8]]]:
        """Give what grabs (H, W, 4) uint8 BGRA, in the thread of the caller alone."""
        reason = "no display, no permission to record it, or a region outside of it"
        try:
            with mss.MSS() as screens:
                whole = screens.monitors[0]  # all monitors together
                region = self._region
                part = whole if region is None else dataclasses.asdict(region)
                if region is not None and not _lies_inside(region, whole):
                    raise SourceError(f"could not open {self.source_id}: {reason}", Fault.OTHER, reason)
                yield lambda: np.asarray(screens.grab(part))
        except (mss.ScreenShotError, OSError) as error:
            raise SourceError(f"could not open {self.source_id}: {reason}", Fault.OTHER, reason) from error


def _lies_inside(region: Region, whole: Mapping[str, int]) -> bool:
    return region.left + region.width <= whole["width"] and region.top + region.height <= whole["height"]


def _rgb(bgra: npt.NDArray[np.uint8]) -> Picture:
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), dtype=np.uint8)
