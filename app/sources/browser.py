"""The camera of somebody's browser, whose pictures come in as JPEGs."""

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from app.sources.pictures import decode_picture
from app.stream.channel import Cancelled, Channel, Empty, Finished
from app.stream.frames import Frame
from app.stream_errors import SourceError
from solov2.pixel_limit import TooManyPixelsError

FIRST_SECONDS = 60.0  # somebody has to find the browser's question, and say yes
NEXT_SECONDS = 10.0
MAX_STEP_MS = 3_600_000  # from one picture to the next; a sleeping machine's clock may go on


class BrowserSource:
    """Gives the newest picture that the browser has sent; `push` may be called from any thread.

    The `pts` are the browser's own clock, so that a viewer in the same browser can tell how old a picture is.

    Attributes:
        viewer: who lends the camera.
    """

    is_live = True
    frame_rate: float | None = 30.0
    frame_count: int | None = None
    frame_hw = (480, 640)  # what is asked of the browser
    time_base = Fraction(1, 1000)
    source_id = "browser camera"

    def __init__(self, viewer: str) -> None:
        """Wait for nothing yet."""
        self.viewer = viewer
        self._jpegs: Channel[tuple[bytes, int, float]] = Channel(1, "drop_oldest")

    def push(self, jpeg: bytes, clock_ms: int) -> None:
        """Take a picture with the browser's time in milliseconds; it replaces one that still waits."""
        try:
            self._jpegs.put((jpeg, clock_ms, time.monotonic()))
        except (Cancelled, RuntimeError):  # the stream has ended meanwhile
            return

    def fail(self, reason: str) -> None:
        """End the stream: the browser has no camera to lend."""
        self._jpegs.fail(SourceError(reason))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; what is no picture is left out.

        Raises:
            SourceError: none came for too long.
        """
        index, clock = 0, BrowserClock()
        wanted_by = time.monotonic() + FIRST_SECONDS
        problem = "the browser sent no picture: is its page still open, and its camera permitted?"
        try:
            while True:
                jpeg, clock_ms, arrived_at = self._jpegs.get(max(0, wanted_by - time.monotonic()))
                try:
                    image = decode(jpeg)  # at once, so that what is no picture can still be left out
                except SourceError as error:
                    problem = str(error)
                    continue
                yield Frame(image, clock.pts(clock_ms, arrived_at), self.time_base, arrived_at, self.source_id, index)
                index += 1
                wanted_by = time.monotonic() + NEXT_SECONDS
        except Empty:
            raise SourceError(problem) from None
        except (Cancelled, Finished):
            return

    def close(self) -> None:
        """Stop at once."""
        self._jpegs.cancel()


class BrowserClock:
    """Timestamps that go on evenly, whatever a browser says: a page that is loaded again counts from 0 again."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._offset_ms = 0
        self._last: tuple[int, float] | None = None

    def pts(self, clock_ms: int, arrived_at: float) -> int:
        """Return the timestamp in ms of a picture, by the browser's clock and by the time of its arrival in seconds."""
        if self._last is not None:
            last_ms, last_at = self._last
            if not 0 < clock_ms - last_ms <= MAX_STEP_MS:
                self._offset_ms += last_ms - clock_ms + max(1, round(1000 * (arrived_at - last_at)))
        self._last = clock_ms, arrived_at
        return clock_ms + self._offset_ms


def decode(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """Return a JPEG as (H, W, 3) uint8 RGB.

    Raises:
        SourceError: it is none, or declares more pixels than are read.
    """
    try:
        image = decode_picture(np.frombuffer(jpeg, np.uint8), "the browser's picture", ("JPEG",))
    except TooManyPixelsError as error:
        raise SourceError(str(error)) from None
    if image is None:
        raise SourceError("the browser sent something that is not a JPEG picture, or is damaged")
    return image
