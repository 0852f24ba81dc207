"""The window sink: the live picture on the screen, and the keys that steer the stream."""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import cv2

from app.stream.controls import ControlPanel
from app.stream.frames import Cover, Picture, Result
from app.stream.parts import Policy, Quit, Sink
from app.stream_errors import NoDisplayError

SHORTEST_SHOW_SECONDS = 1 / 90  # a 60 Hz stream passes even if its pictures come unevenly
REFRESH_SECONDS = 0.2  # between redraws while nothing arrives
WINDOW_WH = (1280, 800)  # that a new window fits into
THRESHOLD_STEP = 0.05
ESCAPE = 27
KEYS_HELP = (
    "keys: q quit, space pause, s snapshot, m masks, b boxes, l labels, f read-out, t track, z reset counts, "
    "+ - threshold"
)


class WindowSink(Sink):
    """Shows pictures in a window and turns its keys into controls.

    The main thread must run the stream, as windows live there. A display that cannot keep up loses pictures and never
    takes more than half of the thread's time. While nothing arrives the last result is drawn again, so that the rates
    on the screen fall to 0 and keys show their effect.
    """

    policy: ClassVar[Policy] = "latest"
    in_callers_thread = True

    def __init__(self, panel: ControlPanel, title: str = "SOLOv2", cover: Cover | None = None) -> None:
        """Open nothing yet: the window appears with the first picture.

        Args:
            panel: the keys write it.
            title: of the window.
            cover: asked while nothing arrives; what it returns is shown instead of the last picture.

        Raises:
            NoDisplayError: there is no display to open a window on.
        """
        if not has_display():
            raise NoDisplayError("a window needs a display, and there is none here. Run with --headless")
        self.panel = panel
        self.title = title
        self._cover = cover
        self._result: Result | None = None
        self._picture: Picture | None = None
        self._shown_at = self._busy_until = 0.0
        self._actions: dict[str, Callable[[], object]] = {
            " ": lambda: panel.update(paused=not panel.current.paused),
            "s": self._save_snapshot,
            "m": lambda: panel.update(show_masks=not panel.current.show_masks),
            "b": lambda: panel.update(show_boxes=not panel.current.show_boxes),
            "l": lambda: panel.update(show_labels=not panel.current.show_labels),
            "f": lambda: panel.update(show_readout=not panel.current.show_readout),
            "t": lambda: panel.update(track=not panel.current.track),
            "z": lambda: panel.update(count_resets=panel.current.count_resets + 1),
            "+": lambda: self._move_threshold(THRESHOLD_STEP),
            "=": lambda: self._move_threshold(THRESHOLD_STEP),
            "-": lambda: self._move_threshold(-THRESHOLD_STEP),
        }

    def write(self, result: Result) -> None:
        """Show the picture unless the display is busy with the one before; raise Quit if the viewer wants to end."""
        self._result = result
        started = time.monotonic()
        if started < self._busy_until:
            return
        self._show(result.picture)
        self._handle_key(cv2.pollKey())
        took = time.monotonic() - started
        self._busy_until = started + max(SHORTEST_SHOW_SECONDS, 2 * took)

    def idle(self) -> None:
        """Redraw the last picture with the rates of now, and handle keys; raise Quit if the viewer wants to end."""
        if self._picture is not None:
            self._handle_key(cv2.pollKey())
        if time.monotonic() >= self._shown_at + REFRESH_SECONDS:
            self._show_again()

    def close(self) -> None:
        """Take the window away."""
        if self._picture is not None and self._is_open():
            cv2.destroyWindow(self.title)

    def _show(self, picture: Picture) -> None:
        if self._picture is None:
            self._open(picture)
        elif not self._is_open():  # showing would open it again
            raise Quit
        self._picture = picture
        cv2.imshow(self.title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._shown_at = time.monotonic()

    def _show_again(self) -> None:
        covered = self._cover(self._result.picture if self._result else None) if self._cover else None
        if covered is not None:
            self._show(covered)
        elif self._result is not None:
            self._show(self._result.redraw())

    def _open(self, picture: Picture) -> None:
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # OpenCV's Qt misses fonts it does not need
        cv2.namedWindow(self.title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        height, width = picture.shape[:2]
        scale = min(1.0, WINDOW_WH[0] / width, WINDOW_WH[1] / height)
        cv2.resizeWindow(self.title, max(1, round(width * scale)), max(1, round(height * scale)))
        self._write_title()
        print(KEYS_HELP, file=sys.stderr)

    def _is_open(self) -> bool:
        try:
            return bool(cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) > 0)
        except cv2.error:  # the last window is gone
            return False

    def _handle_key(self, code: int) -> None:
        key = chr(code & 0xFF) if code >= 0 else ""
        if key in ("q", chr(ESCAPE)) or (self._picture is not None and not self._is_open()):
            raise Quit
        action = self._actions.get(key)
        if action is not None:
            action()
            self._write_title()
            self._show_again()

    def _move_threshold(self, step: float) -> None:
        threshold = round(self.panel.current.score_threshold + step, 2)
        self.panel.update(score_threshold=min(max(threshold, 0.0), 1.0))

    def _write_title(self) -> None:
        controls = self.panel.current
        paused = " · paused" if controls.paused else ""
        cv2.setWindowTitle(self.title, f"{self.title} · threshold {controls.score_threshold:.2f}{paused}")

    def _save_snapshot(self) -> None:
        """Save the picture on the screen in the current folder; a failure is told and does not end the stream."""
        if self._picture is None:
            return
        path = Path(f"snapshot-{datetime.now():%Y%m%d-%H%M%S-%f}.png")
        _, png = cv2.imencode(".png", cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR))
        try:
            path.write_bytes(png.tobytes())
        except OSError as error:
            print(f"could not save {path.absolute()}: {error.strerror}", file=sys.stderr)
        else:
            print(f"saved {path.absolute()}", file=sys.stderr)


@functools.cache
def has_display() -> bool:
    """Whether OpenCV can open a window here; found out once.

    Without a display OpenCV would not fail but end the process, and a `DISPLAY` that is set may be long gone: so
    another process tries first.
    """
    if not cv2.currentUIFramework():  # opencv-python-headless
        return False
    if not sys.platform.startswith("linux"):
        return True
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    attempt = "import cv2, os; cv2.namedWindow('probe'); os._exit(0)"
    try:
        return subprocess.run([sys.executable, "-c", attempt], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False
