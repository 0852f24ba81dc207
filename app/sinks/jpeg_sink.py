"""The page's sink: each picture becomes one JPEG, encoded once, and every viewer takes the latest."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import cv2

from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Cover, Picture, Result
from app.stream.parts import Policy, Sink

JPEG_QUALITY = 82
COVER_SECONDS = 0.5  # between two pictures while nothing arrives
BOUNDARY = "frame"
MULTIPART = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


@dataclass(frozen=True, slots=True, eq=False)
class Jpeg:
    """One picture, ready to be sent.

    Attributes:
        data: the JPEG file.
        pts_seconds: presentation time of its frame.
        captured_at: `time.monotonic()` seconds of its frame's capture.
    """

    data: bytes
    pts_seconds: float
    captured_at: float


class Viewer:
    """One of those who look: takes the newest JPEG whenever it is ready for one, and misses those in between."""

    def __init__(self, board: "LatestJpeg") -> None:
        """Belong to the running event loop."""
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._posted = asyncio.Event()
        self._seen: Jpeg | None = None

    async def next(self) -> Jpeg:
        """Return the newest JPEG that this viewer has not seen, waiting for one."""
        while (newest := self._board.newest) is None or newest is self._seen:
            self._posted.clear()
            if self._board.newest is newest:
                await self._posted.wait()
        self._seen = newest
        return newest

    def wake(self) -> None:
        """Tell it that there is something new, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop has ended
            self._loop.call_soon_threadsafe(self._posted.set)


class LatestJpeg:
    """Holds the latest JPEG, from one run of a stream to the next. A viewer that is slow holds nobody up."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.newest: Jpeg | None = None
        self._viewers: set[Viewer] = set()
        self._lock = threading.Lock()

    @property
    def viewer_count(self) -> int:
        """How many look at this moment."""
        return len(self._viewers)

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Let somebody look, within the block and one event loop."""
        viewer = Viewer(self)
        with self._lock:
            self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            with self._lock:
                self._viewers.discard(viewer)

    def post(self, jpeg: Jpeg) -> None:
        """Take a newer one, and wake the viewers."""
        self.newest = jpeg
        with self._lock:
            viewers = tuple(self._viewers)
        for viewer in viewers:
            viewer.wake()


class JpegSink(Sink):
    """Encodes the pictures of one run; while nobody looks nothing is drawn or encoded.

    Attributes:
        result: the latest one, None before the first.
    """

    policy: ClassVar[Policy] = "latest"

    def __init__(self, latest: LatestJpeg, panel: ControlPanel, cover: Cover | None = None) -> None:
        """Encode nothing yet.

        Args:
            latest: takes the JPEGs.
            panel: watched while nothing arrives, so that its changes show on the last picture, too.
            cover: asked while nothing arrives; what it returns is posted instead of the last picture.
        """
        self.result: Result | None = None
        self._latest, self._panel, self._cover = latest, panel, cover
        self._covered_at = 0.0
        self._posted: tuple[Result, Controls] | None = None

    def write(self, result: Result) -> None:
        """Post the picture if anybody looks."""
        self.result = result
        if self._latest.viewer_count:
            controls = self._panel.current
            self._post(result, result.picture, controls)

    def idle(self) -> None:
        """Draw the last result again if the controls have changed, or nobody has seen it yet."""
        if self._post_cover():
            return
        current = self._panel.current
        if self.result is not None and self._latest.viewer_count and self._posted != (self.result, current):
            self._post(self.result, self.result.redraw(), current)

    def close(self) -> None:
        """Leave the last picture where it is."""
        self.idle()

    def _post_cover(self) -> bool:
        """Post what covers the last picture, twice a second; return whether something does."""
        if self._cover is None or not self._latest.viewer_count:
            return False
        now = time.monotonic()
        if now < self._covered_at + COVER_SECONDS:
            return self._posted is None
        covered = self._cover(self.result.picture if self.result else None)
        if covered is None:
            return False
        self._covered_at, self._posted = now, None
        frame = self.result.frame if self.result else None
        seconds, captured_at = (frame.pts_seconds, frame.captured_at) if frame else (0.0, now)
        self._latest.post(Jpeg(encode_jpeg(covered), seconds, captured_at))
        return True

    def _post(self, result: Result, picture: Picture, controls: Controls) -> None:
        frame = result.frame
        self._latest.post(Jpeg(encode_jpeg(picture), frame.pts_seconds, frame.captured_at))
        self._posted = (result, controls)


def encode_jpeg(picture: Picture) -> bytes:
    """Return (H, W, 3) uint8 RGB as a JPEG file."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


async def multipart(board: LatestJpeg) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a `multipart/x-mixed-replace` answer, which a browser or a player shows as a moving picture.

    Each part ends with the boundary of the next, as a browser shows a picture only once it knows that it is whole.
    """
    yield f"--{BOUNDARY}\r\n".encode()
    with board.viewer() as viewer:
        while True:
            jpeg = await viewer.next()
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg.data)}\r\n\r\n"
            yield head.encode() + jpeg.data + f"\r\n--{BOUNDARY}\r\n".encode()
