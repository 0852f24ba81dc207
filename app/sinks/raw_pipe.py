"""Raw pictures on standard output, for another program to read."""

import os
import sys

import cv2
import numpy as np

from app.stream.frames import Result
from app.stream.parts import Quit, Sink

STANDARD_OUTPUT_DESCRIPTOR = 1


class RawPipe(Sink):
    """Writes each picture as H * W * 3 bytes of RGB; all have the size of the first one.

    The size is printed on standard error with the first picture. The run ends when nobody reads any more.
    """

    def __init__(self, frame_rate: float | None, descriptor: int = STANDARD_OUTPUT_DESCRIPTOR) -> None:
        """Write nothing yet.

        Args:
            frame_rate: nominal frames per second, None where unknown; it is only told.
            descriptor: of an open file or pipe; it stays open.
        """
        self._rate, self._descriptor = frame_rate, descriptor
        self._size_wh: tuple[int, int] | None = None

    def write(self, result: Result) -> None:
        """Write the picture; raise Quit if nobody reads."""
        picture = result.picture
        if self._size_wh is None:
            self._size_wh = picture.shape[1], picture.shape[0]
            rate = f" -framerate {self._rate:g}" if self._rate else ""
            size = f"{self._size_wh[0]}x{self._size_wh[1]}"
            print(
                f"raw pictures: -f rawvideo -pixel_format rgb24 -video_size {size}{rate}", file=sys.stderr, flush=True
            )
        if picture.shape[1::-1] != self._size_wh:
            picture = np.asarray(cv2.resize(picture, self._size_wh), np.uint8)
        data = memoryview(picture.tobytes())
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError as error:
            raise Quit from error
