"""From decoded pictures to RGB, when somebody asks for it."""

import threading

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from app.stream.frames import Picture
from app.stream.lazy import Lazy


class RgbConverter:
    """Converts the pictures of one stream, whichever threads ask.

    `VideoFrame.to_ndarray` would set up a new conversion for each picture, and use several threads for it.
    """

    def __init__(self) -> None:
        """Set nothing up yet."""
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()

    def upright_rgb(self, picture: VideoFrame) -> Picture:
        """Return the picture as (H, W, 3) uint8 RGB, turned as its display matrix says."""
        with self._lock:
            rgb = self._reformatter.reformat(picture, format="rgb24", threads=1)
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), picture.rotation // 90), dtype=np.uint8)

    def lazy(self, picture: VideoFrame) -> Lazy[Picture]:
        """Return what converts the picture when it is first asked for."""
        return Lazy(lambda: self.upright_rgb(picture))


def upright_hw(picture: VideoFrame) -> tuple[int, int]:
    """Return the (height, width) that the picture will have once it is turned as its display matrix says."""
    is_turned = picture.rotation // 90 % 2 == 1
    return (picture.width, picture.height) if is_turned else (picture.height, picture.width)
