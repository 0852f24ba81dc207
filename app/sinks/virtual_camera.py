"""Pictures into a virtual camera, which other programs see as a camera, by pyvirtualcam."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from app.sinks.live_output import LiveOutput, OutputError
from app.stream.frames import Picture, Result
from solov2.errors import MissingExtraError

DEFAULT_RATE = 30.0


class VirtualCamera(LiveOutput):
    """On Linux v4l2loopback, on macOS and Windows OBS. Its size is that of the first picture."""

    def __init__(self, device: str | None, frame_rate: float | None, tell: Callable[[str], None] | None = None) -> None:
        """Open nothing yet.

        Args:
            device: such as /dev/video10; None takes the first that is free.
            frame_rate: nominal frames per second, None where unknown.
            tell: see `LiveOutput`.

        Raises:
            MissingExtraError: pyvirtualcam is not installed.
        """
        super().__init__(f"the virtual camera {device}" if device else "the virtual camera", tell)
        try:
            import pyvirtualcam
        except ModuleNotFoundError as error:
            raise MissingExtraError("pyvirtualcam", "virtual-camera") from error
        self._open: Callable[..., Any] = pyvirtualcam.Camera
        self._device, self._rate = device, frame_rate or DEFAULT_RATE
        self._camera: Any = None

    def send(self, picture: Picture, result: Result) -> None:
        """Show a picture, resized if the source has changed its size."""
        try:
            if self._camera is None:
                self._camera = self._open(picture.shape[1], picture.shape[0], self._rate, device=self._device)
            size = self._camera.width, self._camera.height
            fits = size == (picture.shape[1], picture.shape[0])
            self._camera.send(np.ascontiguousarray(picture if fits else cv2.resize(picture, size)))
        except (RuntimeError, OSError) as error:
            raise OutputError(" ".join(str(error).split())) from error

    def disconnect(self) -> None:
        """Close the camera."""
        if self._camera is not None:
            self._camera.close()
        self._camera = None
