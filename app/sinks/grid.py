"""One window for several sources: their newest pictures side by side; a click enlarges one, another brings all back."""

import math
import time
from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from app.sinks.window import REFRESH_SECONDS, WINDOW_WH, WindowSink
from app.stream.controls import ControlPanel, PanelGroup
from app.stream.frames import Cover, Picture, Result
from app.stream.parts import Policy, Sink

SHOW_SECONDS = 1 / 30
GAP_PX = 4


class GridWindow(WindowSink):
    """The window itself; its tiles are the sinks."""

    def __init__(self, panels: Sequence[ControlPanel], title: str = "SOLOv2") -> None:
        """Open nothing yet; the keys steer all of `panels`, one for each tile."""
        super().__init__(PanelGroup(panels), title)
        self._pictures: list[Picture | None] = [None] * len(panels)
        self._enlarged: int | None = None
        self._open_tiles = len(panels)

    def tile_closed(self) -> None:
        """Take the window away when the last tile is closed."""
        self._open_tiles -= 1
        if not self._open_tiles:
            self.close()

    def put(self, index: int, picture: Picture) -> None:
        """Take the newest picture of a tile; it is shown at the next `refresh`."""
        self._pictures[index] = picture

    def refresh(self) -> None:
        """Show the tiles and handle keys, if it is time to; raise Quit if the viewer wants to end."""
        started = time.monotonic()
        if started < self._busy_until:
            return
        self._show_again()
        self._handle_key(cv2.pollKey())
        self._busy_until = started + max(SHOW_SECONDS, 2 * (time.monotonic() - started))

    def _show_again(self) -> None:
        enlarged = None if self._enlarged is None else self._pictures[self._enlarged]
        self._show(compose(self._pictures) if enlarged is None else enlarged)

    def _open(self, picture: Picture) -> None:
        super()._open(picture)
        cv2.setMouseCallback(self.title, self._clicked)

    def _clicked(self, event: int, x: int, y: int, _flags: int, _: object) -> None:
        if event != cv2.EVENT_LBUTTONDOWN:
            return
        self._enlarged = tile_at(x, y, len(self._pictures)) if self._enlarged is None else None


class GridTile(Sink):
    """Gives the pictures of one source to its place in a grid."""

    policy: ClassVar[Policy] = "latest"
    in_callers_thread = True

    def __init__(self, grid: GridWindow, index: int, cover: Cover | None = None) -> None:
        """Fill the place `index` of `grid`; `cover` is asked while nothing arrives, see `WindowSink`."""
        self._grid, self._index, self._cover = grid, index, cover
        self._result: Result | None = None
        self._covered_at = 0.0

    def write(self, result: Result) -> None:
        """Show the picture; raise Quit if the viewer wants to end."""
        self._result = result
        self._grid.put(self._index, result.picture)
        self._grid.refresh()

    def idle(self) -> None:
        """Show why nothing arrives, and handle keys; raise Quit if the viewer wants to end."""
        now = time.monotonic()
        if now >= self._covered_at + REFRESH_SECONDS:
            self._covered_at = now
            self._put_cover()
        self._grid.refresh()

    def close(self) -> None:
        """Leave the last picture where it is, or why there is none, until the last tile closes."""
        self._put_cover()
        self._grid.tile_closed()

    def _put_cover(self) -> None:
        covered = self._cover(self._result.picture if self._result else None) if self._cover else None
        if covered is not None:
            self._grid.put(self._index, covered)


def compose(pictures: Sequence[Picture | None]) -> Picture:
    """Return the pictures side by side, each scaled to fit its place: (H, W, 3) uint8 RGB."""
    columns, (tile_width, tile_height) = _layout(len(pictures))
    rows = math.ceil(len(pictures) / columns)
    canvas = np.full((rows * tile_height, columns * tile_width, 3), 16, np.uint8)
    for index, picture in enumerate(pictures):
        if picture is None:
            continue
        height, width = picture.shape[:2]
        scale = min((tile_width - GAP_PX) / width, (tile_height - GAP_PX) / height)
        size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        left = index % columns * tile_width + (tile_width - size_wh[0]) // 2
        top = index // columns * tile_height + (tile_height - size_wh[1]) // 2
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[top : top + size_wh[1], left : left + size_wh[0]] = cv2.resize(
            picture, size_wh, interpolation=interpolation
        )
    return canvas


def tile_at(x: int, y: int, count: int) -> int | None:
    """Return the index of the tile at a point of the picture that `compose` makes; None beside the last one."""
    columns, (tile_width, tile_height) = _layout(count)
    index = y // tile_height * columns + x // tile_width
    return index if 0 <= index < count else None


def _layout(count: int) -> tuple[int, tuple[int, int]]:
    """How many columns, and the (width, height) of a tile: all together fill about a window."""
    columns = math.ceil(math.sqrt(count))
    width = WINDOW_WH[0] // columns
    return columns, (width, round(width * 9 / 16))
