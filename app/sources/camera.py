"""Cameras of this machine, through OpenCV."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from cv2.typing import MatLike

from app.sources.camera_faults import LINUX_DEVICES, why_not
from app.sources.quiet_opencv import quiet_opencv
from app.sources.reading import Reading
from app.sources.source_settings import DEFAULTS, SourceSettings
from app.stream.frames import Frame, Picture
from app.stream.lazy import Lazy
from app.stream_errors import Fault, SourceError

_PROBED_ELSEWHERE = 8
# On Windows, Media Foundation takes many seconds to open a camera, DirectShow one.
_BACKENDS = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that can be opened: its number, its name, and the (height, width) of its pictures."""

    number: int
    name: str
    frame_hw: tuple[int, int]


class CameraSource:
    """The frames of a camera, with the time of their arrival in microseconds as `pts`.

    Attributes:
        details: size, format and rate that the camera gives, which may differ from what was asked of it.
    """

    is_live = True
    frame_count: int | None = None
    time_base = Fraction(1, 1_000_000)

    corrupt = 0

    def __init__(self, number: int, settings: SourceSettings = DEFAULTS) -> None:
        """Open camera `number`.

        Args:
            number: as the system counts cameras, from 0 on.
            settings: size, rate and format to ask for; a camera takes the nearest that it has.

        Raises:
            SourceError: it cannot be opened, or gives no picture.
        """
        self.source_id = f"camera {number}"
        with quiet_opencv():
            self._capture = cv2.VideoCapture(number, _BACKENDS.get(sys.platform, cv2.CAP_ANY))
            self._reading = Reading(self._capture.release)
            _ask_for(self._capture, settings)
            is_open, bgr = self._capture.read()
        if not is_open:
            self._capture.release()
            fault, reason = why_not(number)
            raise SourceError(
                f"could not open {self.source_id}: {reason}. List cameras with: python -m app.webcam --list-cameras",
                fault,
                reason,
            )
        height, width = bgr.shape[:2]
        self.frame_hw = (height, width)
        self.frame_rate = self._capture.get(cv2.CAP_PROP_FPS) or None
        fps = f" {self.frame_rate:.4g} fps" if self.frame_rate else ""
        self.details = f"{width}x{height}{_format_name(self._capture)}{fps}"

    def __iter__(self) -> Iterator[Frame]:
        """Yield pictures as fast as they come.

        Raises:
            SourceError: the camera gives no more.
        """
        started = time.monotonic()
        index = 0
        with self._reading:
            while not self._reading.is_closed:
                is_grabbed = self._capture.grab()
                now = time.monotonic()  # before it is decoded
                is_read, bgr = self._capture.retrieve() if is_grabbed else (False, None)
                if not is_read or bgr is None:
                    reason = "it gives no more pictures: was it unplugged?"
                    raise SourceError(f"{self.source_id} gives no more pictures: was it unplugged?", Fault.LOST, reason)
                pts = round((now - started) / self.time_base)
                yield Frame(rgb_of(bgr), pts, self.time_base, now, self.source_id, index)
                index += 1

    def close(self) -> None:
        """Stop. A thread that is reading stops at its next picture and releases the camera itself."""
        self._reading.close()


def _ask_for(capture: cv2.VideoCapture, settings: SourceSettings) -> None:
    """Ask for the format first, as it decides which sizes and rates there are."""
    if settings.camera_format is not None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.camera_format))
    if settings.camera_wh is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.camera_wh[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.camera_wh[1])
    if settings.camera_fps is not None:
        capture.set(cv2.CAP_PROP_FPS, settings.camera_fps)


def _format_name(capture: cv2.VideoCapture) -> str:
    """The four letters of the camera's format after a space; nothing where the system does not tell."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    return f" {letters.strip()}" if code > 0 and letters.isprintable() and letters.isascii() else ""


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
        return sorted(int(device.name.removeprefix("video")) for device in LINUX_DEVICES.glob("video[0-9]*"))
    return list(range(_PROBED_ELSEWHERE))


def _name(number: int) -> str:
    label = LINUX_DEVICES / f"video{number}" / "name"
    return label.read_text().strip() if label.exists() else f"camera {number}"
