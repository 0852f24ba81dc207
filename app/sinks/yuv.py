"""From RGB pictures to what encoders of H.264 take: 4:2:0, of one even size, in the colours of HD video."""

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from app.stream.frames import Picture

MAX_SIDE_PX = 16384


class YuvConverter:
    """Converts the pictures of one video.

    Attributes:
        even_hw: (height, width) of what it makes.
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """Make pictures of the (height, width) `size_hw`.

        An odd one is made even by repeating the last row or column; one with a side of more than `MAX_SIDE_PX` is
        scaled down, as H.264's encoders take no larger ones.
        """
        self._size_hw = height, width = _encodable(size_hw)
        self.even_hw = height + height % 2, width + width % 2
        self._reformatter = VideoReformatter()

    def convert(self, picture: Picture) -> VideoFrame:
        """Return `picture` without a timestamp; one of another size is scaled to fit, with black bars."""
        even = np.ascontiguousarray(_even(_letterbox(picture, self._size_hw)))
        return self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(even, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )


def _encodable(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the size, scaled down to `MAX_SIDE_PX` where a side is longer."""
    scale = min(1.0, MAX_SIDE_PX / max(size_hw))
    height, width = (max(1, round(side * scale)) for side in size_hw)
    return height, width


def _letterbox(picture: Picture, size_hw: tuple[int, int]) -> Picture:
    """Scale `picture` to fit into `size_hw`, in the middle of black, unless it has that size."""
    if picture.shape[:2] == size_hw:
        return picture
    height, width = size_hw
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner_wh = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    inner = cv2.resize(picture, inner_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (height - inner_wh[1]) // 2, (width - inner_wh[0]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_wh[1], left : left + inner_wh[0]] = inner
    return canvas


def _even(picture: Picture) -> Picture:
    """Repeat the last row and the last column where their number is odd, as 4:2:0 video wants."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
