"""Cameras of this machine, through OpenCV."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from app.sources.quiet_opencv import quiet_opencv
from app.stream.frames import Frame, Picture
from app.stream.lazy import Lazy
from app.stream_errors import SourceError

_LINUX_DEVICES = Path("/sys/class/video4linux")
_PROBED_ELSEWHERE = 8


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that can be opened: its number, its name, and the (height, width) of its pictures."""

    number: int
    name: str
    frame_hw: tuple[int, int]


class CameraSource:
    """The frames of a camera, with the time of their arrival in microseconds as `pts`."""

    is_live = True
    frame_count: int | None = None
    time_base = Fraction(1, 1_000_000)

    def __init__(self, number: int) -> None:
        """Open camera `number`.

        Raises:
            SourceError: it cannot be opened, or gives no picture.
        """
        self.source_id = f"camera {number}"
        self._closed = threading.Event()
        self._being_read = threading.Lock()
        with quiet_opencv():
            self._capture = cv2.VideoCapture(number)
            is_open, bgr = self._capture.read()
        if not is_open:
            self._capture.release()
            raise SourceError(
                f"could not open {self.source_id}: {_why_not(number)}. "
                "List cameras with: python -m app.webcam --list-cameras"
            )
        self.frame_hw = (bgr.shape[0], bgr.shape[1])
        self.frame_rate = self._capture.get(cv2.CAP_PROP_FPS) or None

    def __iter__(self) -> Iterator[Frame]:
        """Yield pictures as fast as they come.

        Raises:
            SourceError: the camera gives no more.
        """
        started = time.monotonic()
        index = 0
        with self._being_read:
            try:
                while not self._closed.is_set():
                    is_grabbed = self._capture.grab()
                    now = time.monotonic()  # before it is decoded
                    is_read, bgr = self._capture.retrieve() if is_grabbed else (False, None)
                    if not is_read or bgr is None:
                        raise SourceError(f"{self.source_id} gives no more pictures: was it unplugged?")
                    pts = round((now - started) / self.time_base)
                    yield Frame(rgb_of(bgr), pts, self.time_base, now, self.source_id, index)
                    index += 1
            finally:
                self._capture.release()

    def close(self) -> None:
        """Stop. A thread that is reading stops at its next picture and releases the camera itself."""
        self._closed.set()
        if self._being_read.acquire(blocking=False):
            self._capture.release()
            self._being_read.release()


def rgb_of(bgr: MatLike) -> Lazy[Picture]:
    """Return what converts a picture of OpenCV to (H, W, 3) uint8 RGB when it is first asked for."""
    return Lazy(lambda: np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8))


def list_cameras() -> list[Camera]:
    """Return the cameras that give pictures, by trying each."""
    return [camera for number in _candidates() if (camera := _probe(number)) is not None]


def _probe(number: int) -> Camera | None:
    try:
        source = CameraSource(number)
    except SourceError:
        return None
    source.close()
    return Camera(number, _name(number), source.frame_hw)


def _candidates() -> list[int]:
    """The numbers worth trying: on Linux the devices that exist, elsewhere the first few."""
    if sys.platform == "linux":
        return sorted(int(device.name.removeprefix("video")) for device in _LINUX_DEVICES.glob("video[0-9]*"))
    return list(range(_PROBED_ELSEWHERE))


def _name(number: int) -> str:
    label = _LINUX_DEVICES / f"video{number}" / "name"
    return label.read_text().strip() if label.exists() else f"camera {number}"


def _why_not(number: int) -> str:
    if sys.platform == "linux" and number not in _candidates():
        return "no such device"
    return "it is in use, gives no pictures, or may not be read"
