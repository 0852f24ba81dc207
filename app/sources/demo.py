"""The built-in clip: a camera that glides over two photographs, an astronaut (public domain) and a cat (CC0)."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from app.sources.selection import EVERYTHING, Selection
from app.stream.frames import Frame

_CLIP_HW = (720, 1280)
_CLIP_SECONDS = 10
_WALL_HW = (1080, 1920)
_PHOTOGRAPHS = (("astronaut", (80, 90), 880), ("chelsea", (1030, 270), 810))

# What the camera sees at each second of the clip: the centre (x, y) and the width of its view, in pixels of the wall.
_PATH_SECONDS = (0.0, 1.0, 3.5, 4.5, 7.5, 8.5, 10.0)
_PATH_VIEWS = (
    (960, 540, 1920),
    (960, 540, 1920),
    (690, 480, 1380),
    (690, 480, 1380),
    (1300, 550, 1240),
    (1300, 550, 1240),
    (960, 540, 1920),
)


class DemoSource:
    """Ten seconds at 1280x720 and 30 frames per second, which end where they began."""

    source_id = "demo"
    is_live = False
    frame_rate: float | None = 30.0
    frame_count: int | None = 30 * _CLIP_SECONDS
    frame_hw = _CLIP_HW
    time_base = Fraction(1, 30)

    def __init__(self) -> None:
        """Hang the photographs on the wall."""
        self._wall = draw_wall()
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames as fast as they are read."""
        return self.frames()

    def frames(self, selection: Selection = EVERYTHING) -> Iterator[Frame]:
        """Yield the selected frames; the others are not made."""
        for pts, seconds in selection.choose((pts / 30 for pts in range(30 * _CLIP_SECONDS)), float):
            if self._closed.is_set():
                return
            image = self._view(seconds)
            yield Frame(image, pts, self.time_base, time.monotonic(), self.source_id, pts)

    def close(self) -> None:
        """Stop at the next frame."""
        self._closed.set()

    def _view(self, seconds: float) -> npt.NDArray[np.uint8]:
        """What the camera sees: (H, W, 3) uint8 RGB."""
        height, width = _CLIP_HW
        x, y, view_width = camera_view(seconds)
        scale = width / view_width
        to_clip = np.array([[scale, 0, width / 2 - scale * x], [0, scale, height / 2 - scale * y]])
        view = cv2.warpAffine(
            self._wall, to_clip, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(view, dtype=np.uint8)


def camera_view(seconds: float) -> npt.NDArray[np.float64]:
    """Centre x, centre y and width of the view, gliding from one point of the path to the next without a jerk."""
    after = min(int(np.searchsorted(_PATH_SECONDS, seconds, side="right")), len(_PATH_SECONDS) - 1)
    start, end = _PATH_SECONDS[after - 1], _PATH_SECONDS[after]
    passed = (seconds - start) / (end - start)
    eased = passed * passed * (3 - 2 * passed)
    return (1 - eased) * np.array(_PATH_VIEWS[after - 1]) + eased * np.array(_PATH_VIEWS[after])


def draw_wall() -> npt.NDArray[np.uint8]:
    """Return a wall, lit from above, with the two photographs on it: (H, W, 3) uint8 RGB."""
    height, width = _WALL_HW
    shade = np.linspace(1.0, 0.75, height)[:, None, None]
    wall = np.broadcast_to(shade * (176, 184, 190), (height, width, 3)).astype(np.uint8)
    for name, top_left_xy, photograph_width in _PHOTOGRAPHS:
        paste_photograph(wall, read_photograph(name), top_left_xy, photograph_width)
    return wall


def read_photograph(name: str) -> npt.NDArray[np.uint8]:
    """Return a photograph of scikit-image's: (H, W, 3) uint8 RGB.

    Its file is read here, because scikit-image would import its readers and SciPy for it, which takes half a second.
    """
    bgr = cv2.imread(str(Path(skimage.data.__path__[0], f"{name}.png")))
    if bgr is None:
        return np.asarray(getattr(skimage.data, name)(), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def paste_photograph(
    wall: npt.NDArray[np.uint8], photograph: npt.NDArray[np.uint8], top_left_xy: tuple[int, int], width: int
) -> None:
    """Paste `photograph` into `wall`, enlarged to `width`, above its own soft shadow."""
    height = round(photograph.shape[0] * width / photograph.shape[1])
    left, top = top_left_xy
    light = np.ones(wall.shape[:2], dtype=np.float32)
    light[top + 14 : top + height + 14, left : left + width] = 0.55
    wall[:] = (wall * cv2.GaussianBlur(light, (0, 0), sigmaX=16)[..., None]).astype(np.uint8)
    wall[top : top + height, left : left + width] = cv2.resize(
        photograph, (width, height), interpolation=cv2.INTER_CUBIC
    )
