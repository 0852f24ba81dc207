"""The page's sink: each picture becomes one JPEG, encoded once, and every viewer takes the latest."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

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


class LatestJpeg:
    """Holds the latest JPEG, from one run of a stream to the next. A viewer that is slow holds nobody up."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.newest: Jpeg | None = None
        self._viewers: frozenset[Viewer] = frozenset()
        self._lock = threading.Lock()

    @property
    def viewers(self) -> "frozenset[Viewer]":
        """Who looks at this moment."""
        return self._viewers

    def enter(self, viewer: "Viewer") -> None:
        """Let `viewer` look from now on."""
        with self._lock:
            self._viewers |= {viewer}

    def leave(self, viewer: "Viewer") -> None:
        """Let `viewer` look no more."""
        with self._lock:
            self._viewers -= {viewer}

    def post(self, jpeg: Jpeg) -> None:
        """Take a newer one, and wake the viewers."""
        self.newest = jpeg
        for viewer in self._viewers:
            viewer.wake()


class Viewer:
    """One of those who look: takes the newest JPEG of each stream that it looks at, and misses those in between.

    Its methods are called in one event loop, except `wake`. Use it as a context, so that it looks no more at the end.
    """

    def __init__(self, *boards: LatestJpeg) -> None:
        """Belong to the running event loop, and look at `boards`."""
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._boards: tuple[LatestJpeg, ...] = ()
        self._seen: dict[LatestJpeg, Jpeg] = {}
        self._first = 0
        self.look_at(boards)

    def __enter__(self) -> "Viewer":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Look at nothing any more."""
        self.look_at(())

    def look_at(self, boards: Sequence[LatestJpeg]) -> None:
        """Look at `boards` from now on, and at no others."""
        if tuple(boards) == self._boards:
            return
        for board in set(self._boards).difference(boards):
            board.leave(self)
            self._seen.pop(board, None)
        for board in boards:
            board.enter(self)
        self._boards = tuple(boards)
        self._woken.set()

    async def next(self, may_take: Callable[[int], bool] = lambda index: True) -> tuple[int, Jpeg]:
        """Return the newest JPEG that this viewer has not seen of one of the boards, waiting for one.

        Args:
            may_take: whether a board may be asked, by its index; after a change of what it says call `wake`.

        Returns:
            The index of the board, and the JPEG. The boards take turns.
        """
        while True:
            self._woken.clear()
            count = len(self._boards)
            for index in (number % count for number in range(self._first, self._first + count)):
                board = self._boards[index]
                newest = board.newest
                if newest is not None and newest is not self._seen.get(board) and may_take(index):
                    self._seen[board] = newest
                    self._first = index + 1
                    return index, newest
            await self._woken.wait()

    def wake(self) -> None:
        """Tell it that there is something new, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop has ended
            self._loop.call_soon_threadsafe(self._woken.set)


class JpegSink(Sink):
    """Encodes the pictures of one run; while nobody looks nothing is drawn or encoded.

    Attributes:
        result: the latest one, None before the first.
    """

    policy: ClassVar[Policy] = "latest"

    def __init__(
        self, latest: LatestJpeg, panel: ControlPanel, cover: Cover | None = None, max_width: int | None = None
    ) -> None:
        """Encode nothing yet.

        Args:
            latest: takes the JPEGs.
            panel: watched while nothing arrives, so that its changes show on the last picture, too.
            cover: asked while nothing arrives; what it returns is posted instead of the last picture.
            max_width: wider pictures are made smaller, in px; None leaves all as they are.
        """
        self.result: Result | None = None
        self._latest, self._panel, self._cover, self._max_width = latest, panel, cover, max_width
        self._covered_at = 0.0
        self._posted: tuple[Result, Controls] | None = None

    def write(self, result: Result) -> None:
        """Post the picture if anybody looks."""
        self.result = result
        if self._latest.viewers:
            controls = self._panel.current
            self._post(result, result.picture, controls)
        elif self._panel.current.hides:
            self._latest.newest = None  # it may be older than the effect

    def idle(self) -> None:
        """Draw the last result again if the controls have changed, or nobody has seen it yet."""
        if self._post_cover():
            return
        current = self._panel.current
        if self.result is not None and self._latest.viewers and self._posted != (self.result, current):
            self._post(self.result, self.result.redraw(), current)

    def close(self) -> None:
        """Leave the last picture where it is, or what covers it, also for those who come later."""
        if not self._post_cover(is_last=True):
            self.idle()

    def _post_cover(self, is_last: bool = False) -> bool:
        """Post what covers the last picture, twice a second and at the end; return whether something does."""
        if self._cover is None or not (self._latest.viewers or is_last):
            return False
        now = time.monotonic()
        if now < self._covered_at + COVER_SECONDS and not is_last:
            return self._posted is None
        covered = self._cover(self.result.redraw() if self.result else None)
        if covered is None:
            return False
        self._covered_at, self._posted = now, None
        frame = self.result.frame if self.result else None
        seconds, captured_at = (frame.pts_seconds, frame.captured_at) if frame else (0.0, now)
        self._latest.post(Jpeg(self._encode(covered), seconds, captured_at))
        return True

    def _post(self, result: Result, picture: Picture, controls: Controls) -> None:
        frame = result.frame
        self._latest.post(Jpeg(self._encode(picture), frame.pts_seconds, frame.captured_at))
        self._posted = (result, controls)

    def _encode(self, picture: Picture) -> bytes:
        height, width = picture.shape[:2]
        if self._max_width is None or width <= self._max_width:
            return encode_jpeg(picture)
        smaller_wh = self._max_width, max(1, round(height * self._max_width / width))
        return encode_jpeg(np.asarray(cv2.resize(picture, smaller_wh, interpolation=cv2.INTER_AREA), np.uint8))


def encode_jpeg(picture: Picture) -> bytes:
    """Return (H, W, 3) uint8 RGB as a JPEG file."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


async def multipart(board: LatestJpeg) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a `multipart/x-mixed-replace` answer, which a browser or a player shows as a moving picture.

    Each part ends with the boundary of the next, as a browser shows a picture only once it knows that it is whole.
    """
    yield f"--{BOUNDARY}\r\n".encode()
    with Viewer(board) as viewer:
        while True:
            _, jpeg = await viewer.next()
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg.data)}\r\n\r\n"
            yield head.encode() + jpeg.data + f"\r\n--{BOUNDARY}\r\n".encode()
