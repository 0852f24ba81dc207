import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.sinks import window
from app.sinks.window import WindowSink, has_display
from app.stream.controls import ControlPanel
from app.stream_errors import NoDisplayError
from tests.fake_instances import result_of

needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")),
    reason="needs Xvfb and xdotool (apt-get install xvfb xdotool)",
)
ROOT = Path(__file__).parent.parent

PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
import numpy as np
from app.stream.controls import ControlPanel
from app.stream.parts import Quit
from app.sinks.window import WindowSink
from tests.fake_instances import result_of

picture = np.full((240, 320, 3), (220, 120, 20), np.uint8)
panel = ControlPanel()
redraws = []

def draw(result):
    redraws.append(panel.current)
    return picture

"""


@pytest.fixture(scope="module")
def x_display() -> object:
    """The name of a display of our own."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-noreset"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as numbers:
        yield f":{numbers.readline().strip()}"
    server.terminate()
    server.wait()


def run_program(display: str, folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` after PROGRAM in a process of its own: OpenCV may abort, and keeps its windows in global state."""
    program = PROGRAM.format(root=str(ROOT)) + body
    environment = os.environ | {"DISPLAY": display}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


PRESS = """
import subprocess, threading

shown = [0]

def press(*keys):
    found = subprocess.run(["xdotool", "search", "--sync", "--name", "SOLOv2"], capture_output=True, text=True)
    for key in keys:
        subprocess.run(["xdotool", "key", "--window", found.stdout.split()[-1], key], stderr=subprocess.DEVNULL)
        seen = shown[0] + 3  # two pictures later the window has read the key: xdotool waits for the server
        while shown[0] < seen:
            time.sleep(0.01)

def press_in_the_background(*keys):
    threading.Thread(target=press, args=keys, daemon=True).start()

def show_until_quit(sink, seconds=50.0):
    number, end = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            sink.write(result_of(picture, pts=number, draw=draw))
            shown[0] = number = number + 1
            time.sleep(0.01)
    except Quit:
        print("quit")
    sink.close()

"""


@needs_x
def test_keys_steer_the_stream(x_display: str, tmp_path: Path) -> None:
    body = """
sink = WindowSink(panel)
press_in_the_background("m", "b", "l", "f", "t", "plus", "plus", "minus", "space", "q")
show_until_quit(sink)
print(panel.current)
"""
    done = run_program(x_display, tmp_path, PRESS + body)
    assert done.stdout == (
        "quit\nControls(score_threshold=0.45, classes=None, show_masks=False, show_boxes=True, show_labels=False, "
        "show_readout=False, opacity=0.5, track=True, paused=True, count_resets=0, effects=())\n"
    )
    assert done.stderr.startswith("keys: q quit")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 0


@needs_x
def test_a_snapshot_is_saved_in_the_current_folder_and_its_name_told(x_display: str, tmp_path: Path) -> None:
    body = """
import cv2
sink = WindowSink(panel)
press_in_the_background("s", "Escape")
show_until_quit(sink)
(path,) = Path().glob("snapshot-*.png")
print((cv2.imread(str(path))[..., ::-1] == picture).all(), path)
"""
    done = run_program(x_display, tmp_path, PRESS + body)
    quit_line, saved = done.stdout.splitlines()
    same, name = saved.split()
    assert (quit_line, same) == ("quit", "True")
    assert f"saved {tmp_path / name}" in done.stderr


@needs_x
def test_a_snapshot_that_cannot_be_saved_does_not_end_the_stream(x_display: str, tmp_path: Path) -> None:
    body = """
def fail(path, data):
    raise OSError(28, "No space left on device")
Path.write_bytes = fail
sink = WindowSink(panel)
press_in_the_background("s", "b", "q")
show_until_quit(sink)
print(panel.current.show_boxes)
"""
    done = run_program(x_display, tmp_path, PRESS + body)
    assert done.stdout == "quit\nTrue\n"
    assert "No space left on device" in done.stderr


@needs_x
def test_the_colours_on_the_screen_are_those_of_the_picture(x_display: str, tmp_path: Path) -> None:
    body = """
import subprocess
sink = WindowSink(panel)
for pts in range(30):
    sink.write(result_of(picture, pts=pts))
    time.sleep(0.02)
subprocess.run(["import", "-window", "root", "screen.png"], check=True)
import cv2
screen = cv2.imread("screen.png")[..., ::-1]
print((np.abs(screen.astype(int) - (220, 120, 20)).max(axis=2) <= 2).sum() > 50_000)
sink.close()
"""
    if not shutil.which("import"):
        pytest.skip("needs ImageMagick's import for a screen shot")
    done = run_program(x_display, tmp_path, body)
    assert done.stdout == "True\n", done.stderr


@needs_x
def test_while_nothing_arrives_the_last_result_is_drawn_again_some_times_a_second(
    x_display: str, tmp_path: Path
) -> None:
    body = """
sink = WindowSink(panel)
sink.idle()  # before the first picture: nothing to do
sink.write(result_of(picture, draw=draw))
end = time.monotonic() + 1.0
while time.monotonic() < end:
    sink.idle()
    time.sleep(0.01)
print(4 <= len(redraws) <= 7)  # the first is the picture itself
sink.close()
"""
    done = run_program(x_display, tmp_path, body)
    assert done.stdout == "True\n", done.stderr


@needs_x
@pytest.mark.parametrize("call", ["write(result_of(picture))", "idle()"])
def test_closing_the_window_ends_the_run(x_display: str, tmp_path: Path, call: str) -> None:
    body = f"""
import cv2
sink = WindowSink(panel)
sink.write(result_of(picture, draw=draw))
cv2.waitKey(50)
cv2.destroyAllWindows()
time.sleep(0.5)  # until the display has had its rest
try:
    sink.{call}
except Quit:
    print("quit")
sink.close()
"""
    done = run_program(x_display, tmp_path, body)
    assert done.stdout == "quit\n", done.stderr


class FakeScreen:
    """Stands in for OpenCV's windows and for the clock, which runs only while something is shown or waited for."""

    WINDOW_NORMAL = WINDOW_KEEPRATIO = WINDOW_GUI_NORMAL = WND_PROP_VISIBLE = COLOR_RGB2BGR = 0
    error = cv2.error

    def __init__(self, show_seconds: float) -> None:
        self.now = 100.0
        self.show_seconds = show_seconds
        self.shown_at: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def imshow(self, title: str, picture: np.ndarray) -> None:
        self.shown_at.append(self.now)
        self.now += self.show_seconds

    def cvtColor(self, picture: np.ndarray, code: int) -> np.ndarray:  # noqa: N802 - OpenCV's name
        return picture

    def pollKey(self) -> int:  # noqa: N802 - OpenCV's name
        return -1

    def getWindowProperty(self, title: str, which: int) -> float:  # noqa: N802 - OpenCV's name
        return 1.0

    def namedWindow(self, *_: object) -> None:  # noqa: N802 - OpenCV's name
        pass

    resizeWindow = setWindowTitle = namedWindow  # noqa: N815 - OpenCV's names


def play(monkeypatch: pytest.MonkeyPatch, ticks: range, show_seconds: float, pause: float) -> FakeScreen:
    """Write a picture for each of `ticks` of 1/30 s, `pause` seconds apart."""
    screen = FakeScreen(show_seconds)
    monkeypatch.setattr(window, "has_display", lambda: True)
    monkeypatch.setattr(window, "cv2", screen)
    monkeypatch.setattr(window, "time", screen)
    picture = np.zeros((24, 32, 3), np.uint8)
    sink = WindowSink(ControlPanel())
    for pts in ticks:
        sink.write(result_of(picture, pts=pts))
        screen.now += pause
    return screen


def test_a_display_that_keeps_up_shows_every_picture_of_a_60_hz_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = play(monkeypatch, range(60), show_seconds=0.004, pause=1 / 60 - 0.004)
    assert len(screen.shown_at) == 60


def test_a_slow_display_takes_at_most_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = play(monkeypatch, range(60), show_seconds=0.1, pause=0.02)
    assert len(screen.shown_at) * 0.1 <= 0.55 * (screen.now - 100)
    assert len(screen.shown_at) > 5


def test_a_stream_faster_than_the_screen_is_not_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = play(monkeypatch, range(1000), show_seconds=0.0001, pause=0.001)
    assert len(screen.shown_at) < 100


@needs_x
def test_a_display_is_found(x_display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", x_display)
    has_display.cache_clear()
    assert has_display()


@pytest.mark.parametrize("name", [None, "", ":4711", "nonsense"])
def test_a_display_that_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if name is not None:
        monkeypatch.setenv("DISPLAY", name)
    has_display.cache_clear()
    assert not has_display()


def test_an_opencv_without_windows_has_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    has_display.cache_clear()
    assert not has_display()


def test_a_window_without_a_display_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_display", lambda: False)
    with pytest.raises(NoDisplayError, match="--headless") as caught:
        WindowSink(ControlPanel())
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def forget_the_display() -> object:
    yield
    has_display.cache_clear()
