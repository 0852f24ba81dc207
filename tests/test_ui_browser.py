import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from app.page.site import Site
from tests.browser import WAIT_MS, chromium, free_port, served, write_camera
from tests.fake_media import grey, write_video
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
PAINTED = "window.solov2.painted"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is open to visitors."""
    path = tmp_path_factory.mktemp("clips")
    write_video(path / "clip.mp4", [grey(8 * i, (144, 192)) for i in range(30)])
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(write_camera(tmp_path_factory.mktemp("camera") / "camera.mjpeg")) as started:
        yield started


@pytest.fixture(scope="module")
def served_page(browser: Any, folder: Path, clips: Path) -> Iterator[tuple[str, Site]]:
    options = [
        "--folder",
        str(clips),
        "--allow-address",
        "127.0.0.1",
        "--max-upload",
        "5",
        "--cameras",
    ]
    with served(folder, *options) as page:
        yield page


@pytest.fixture
def site(served_page: tuple[str, Site]) -> Iterator[Site]:
    yield served_page[1]
    served_page[1].engine.stop()


@pytest.fixture
def visit(served_page: tuple[str, Site], browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Opens the page as a new visitor; an error on its console fails the test."""
    contexts = []
    errors: list[str] = []

    def open_page(**options: Any) -> Any:
        contexts.append(browser.new_context(permissions=["camera"], **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if is_outside(request.url) else None)
        page.goto(served_page[0])
        page.wait_for_function("window.solov2?.status.connected")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "http://localhost:", "data:", "blob:"))


def start(page: Any, kind: str, **details: str) -> None:
    page.get_by_label(kind, exact=True).check()
    for label, value in details.items():
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Tab")
    page.locator("#start").click()


def wait_for_pictures(page: Any, more: int = 5) -> None:
    painted = page.evaluate(PAINTED)
    page.wait_for_function(f"{PAINTED} >= {painted + more}")


def note(page: Any) -> Any:
    return page.locator(".live [data-part=note]")


def test_the_built_in_clip_runs_and_obeys_its_buttons(visit: Callable[..., Any], site: Site) -> None:
    page = visit()
    assert note(page).inner_text() == ""
    poster = page.get_by_role("img", name="The first frame of the built-in clip")
    shown = "async (one) => { await one.decode(); return [one.naturalWidth, one.offsetWidth > 300]; }"
    assert poster.evaluate(shown) == [1280, True]
    start(page, "Built-in clip")
    wait_for_pictures(page)
    page.wait_for_function("document.querySelector('[data-part=counts]').innerText.includes('1 person')")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_function("window.solov2.status.state === 'paused'")
    assert site.engine.panel.current.paused
    page.get_by_role("button", name="Resume").click()
    wait_for_pictures(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_function("window.solov2.status.state === 'ended'")
    assert note(page).inner_text() == "Stopped."


def test_controls_take_effect_while_it_runs(visit: Callable[..., Any], site: Site) -> None:
    page = visit()
    start(page, "Built-in clip")
    wait_for_pictures(page)
    page.get_by_label("Boxes", exact=True).check()
    wait_until(lambda: site.engine.panel.current.show_boxes)
    page.get_by_label("number input for Confidence").fill("0.95")
    page.keyboard.press("Tab")
    wait_until(lambda: site.engine.panel.current.score_threshold == 0.95)
    page.wait_for_function("!document.querySelector('[data-part=counts]').innerText.includes('person')")
    page.get_by_label("Track instances").first.check()
    wait_until(lambda: site.engine.panel.current.track)
    wait_for_pictures(page)
    page.get_by_label("number input for Confidence").fill("0.3")
    page.keyboard.press("Tab")
    page.get_by_label("Track instances").first.uncheck()
    page.get_by_label("Boxes", exact=True).uncheck()
    wait_until(lambda: not site.engine.panel.current.track and not site.engine.panel.current.show_boxes)


def test_everything_is_reached_and_worked_from_the_keyboard(visit: Callable[..., Any], site: Site) -> None:
    page = visit()
    press = page.keyboard.press
    page.get_by_label("Track instances").first.wait_for()
    page.get_by_role("tab", name="Live").focus()
    reached: list[Any] = []
    while (name := tab_on(page)) != "Track instances":
        assert len(reached) < 60, f"lost after {reached}"
        reached.append(name)
        if name == START:
            press("Enter")
            wait_for_pictures(page)
            site.engine.panel.update(classes=frozenset({"person"}))
            running = site.engine.choice
        if name == "Boxes":
            press("Space")
            wait_until(lambda: site.engine.panel.current.show_boxes)
            press("Space")
    assert [name for name in reached if name in ORDER] == ORDER
    assert site.engine.choice is running  # passing the fields changed nothing
    assert site.engine.panel.current.classes == frozenset({"person"})
    site.engine.panel.update(classes=None)
    wait_until(lambda: not site.engine.panel.current.show_boxes)
    page.get_by_role("button", name="Pause").focus()
    press("Space")
    page.wait_for_function("window.solov2.status.state === 'paused'")
    press("Enter")
    page.wait_for_function("window.solov2.status.state === 'running'")
    assert [tab_on(page) for _ in range(3)] == ["Stop", "Snapshot", "Record"]
    page.get_by_role("tab", name="Video").focus()
    press("Enter")
    page.get_by_role("button", name="Annotate").wait_for()


START = "Start the built-in clip"
ORDER = ["Video", "Picture", "About", "Built-in clip", "File on the server", START, "Model", "Device", "Boxes"]


def tab_on(page: Any) -> str:
    """Go to what comes next, see that it shows that it has the focus, and return its name."""
    page.keyboard.press("Tab")
    script = """() => {
        const one = document.activeElement, label = one.closest("label");
        const isRinged = [one, label].some((part) => part && getComputedStyle(part).outlineStyle === "solid");
        return [one.ariaLabel || label?.innerText.trim() || one.innerText.trim() || one.title, isRinged];
    }"""
    name, is_ringed = page.evaluate(script)
    assert is_ringed, f"nothing shows that {name} has the focus"
    return str(name)


def test_the_browsers_camera_goes_up_and_comes_back_segmented(visit: Callable[..., Any], site: Site) -> None:
    page = visit()
    start(page, "This device's camera")
    wait_for_pictures(page, more=10)
    assert page.evaluate("window.solov2.roundTripMs") > 0
    assert page.evaluate("[...document.querySelectorAll('canvas')][0].width") == 640
    assert [feed.source.is_live for feed in site.engine.feeds] == [True]
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_function("window.solov2.status.camera === false")
    page.context.close()


def test_a_second_viewer_sees_the_same_stream_and_may_steer_it(visit: Callable[..., Any], site: Site) -> None:
    first, second = visit(), visit()
    start(first, "Built-in clip")
    wait_for_pictures(first)
    wait_for_pictures(second)
    assert len(site.engine.viewers()) == 2
    second.get_by_role("button", name="Pause").click()
    first.wait_for_function("window.solov2.status.state === 'paused'")
    second.context.close()
    wait_until(lambda: len(site.engine.viewers()) == 1)


def test_the_widgets_follow_whoever_steers_and_outlast_a_reload(visit: Callable[..., Any], site: Site) -> None:
    first, second = visit(), visit()
    start(first, "Built-in clip")
    wait_for_pictures(first)
    least_score = "number input for Confidence"
    first.get_by_label(least_score).fill("0.6")
    first.keyboard.press("Tab")
    first.get_by_label("Boxes", exact=True).check()
    wait_until(lambda: site.engine.panel.current.show_boxes and site.engine.panel.current.score_threshold == 0.6)
    shows = "([label, value]) => document.querySelector(`[aria-label='${label}']`).value === value"
    second.wait_for_function(shows, arg=[least_score, "0.6"])
    second.get_by_label("Boxes", exact=True).and_(second.locator(":checked")).wait_for()
    first.reload()
    first.wait_for_function("window.solov2?.status.connected")
    first.wait_for_function(shows, arg=[least_score, "0.6"])
    first.get_by_label("Boxes", exact=True).and_(first.locator(":checked")).wait_for()
    assert site.engine.panel.current.score_threshold == 0.6
    site.engine.panel.update(score_threshold=0.3, show_boxes=False)
    second.wait_for_function(shows, arg=[least_score, "0.3"])
    second.context.close()


def test_reloading_the_page_in_mid_stream_leaves_one_viewer(visit: Callable[..., Any], site: Site) -> None:
    page = visit()
    start(page, "Built-in clip")
    for _ in range(5):
        wait_for_pictures(page, more=2)
        page.reload()
        page.wait_for_function("window.solov2?.status.connected")
    wait_for_pictures(page)
    wait_until(lambda: len(site.engine.viewers()) == 1)


def test_a_file_of_an_open_folder_runs_to_its_end(visit: Callable[..., Any], clips: Path) -> None:
    page = visit()
    page.get_by_label("File on the server").check()
    page.get_by_label("Repeat when it ends").uncheck()
    page.locator("#start").click()
    page.wait_for_function("window.solov2.status.message === 'The source has ended'")
    page.get_by_text("The source has ended.").wait_for()
    assert page.evaluate("window.solov2.status.stats.displayed") == 30


@pytest.mark.parametrize(
    ("kind", "label", "value", "sentence"),
    [
        ("File on the server", "File", "/etc/passwd", "No such file in the folders open to this page: /etc/passwd"),
        ("Stream by address", "Address", "rtsp://user:secret@10.1.2.3/x", "This page may not reach 10.1.2.3"),
        ("Stream by address", "Address", "file:///etc/passwd", "An address looks like rtsp://host/path"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(
    visit: Callable[..., Any], kind: str, label: str, value: str, sentence: str
) -> None:
    page = visit()
    start(page, kind, **{label: value})
    page.get_by_text(sentence).first.wait_for()
    text = page.inner_text("body")
    assert "Traceback" not in text
    assert "secret" not in text


def test_an_address_that_does_not_answer_is_told_without_its_password(visit: Callable[..., Any]) -> None:
    page = visit()
    start(page, "Stream by address", Address="rtsp://user:secret@127.0.0.1:9/live")
    page.wait_for_function("window.solov2.status.state === 'failed'")
    assert "Could not open rtsp://127.0.0.1:9/…" in note(page).inner_text()
    assert "secret" not in json.dumps(page.evaluate("window.solov2.status"))


def test_a_camera_that_cannot_be_had_is_said(visit: Callable[..., Any]) -> None:
    page = visit()
    refused = "async () => { throw new DOMException('', 'NotAllowedError'); }"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refused}; }}")
    start(page, "This device's camera")
    page.get_by_text("The browser was not permitted to use the camera: allow it beside the page's address.").wait_for()


def test_snapshot_and_recording_can_be_downloaded(visit: Callable[..., Any], site: Site, tmp_path: Path) -> None:
    page = visit()
    start(page, "Built-in clip")
    wait_for_pictures(page)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Snapshot").click()
    waiting.value.save_as(tmp_path / "snapshot.png")
    snapshot = cv2.imread(str(tmp_path / "snapshot.png"))
    assert snapshot is not None
    assert snapshot.shape == (720, 1280, 3)
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_function("window.solov2.status.recorded_frames >= 5")
    page.get_by_role("button", name="Stop recording").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download recording").click()
    waiting.value.save_as(tmp_path / "recording.mp4")
    with av.open(str(tmp_path / "recording.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5
    assert len(list(site.folder.glob("*.mp4"))) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_tab_fits_its_screen(visit: Callable[..., Any], scheme: str, width: int) -> None:
    page = visit(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for tab in ("Live", "Video", "Picture", "About"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{tab} is too wide"
        if shots := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{shots}/{tab.lower()}-{scheme}-{width}.png", full_page=True)


def test_reload_mode_shows_the_new_code_and_leaves_nothing_behind(browser: Any, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    cache = tmp_path / "cache"
    cache.mkdir()
    log = (tmp_path / "log").open("w+")
    port = free_port()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "gradio"), "app/ui.py", "--", "--port", str(port)],
        cwd=tmp_path,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "GRADIO_TEMP_DIR": str(cache), "GRADIO_ANALYTICS_ENABLED": "False"},
    )
    try:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        wait_until(lambda: "Running on" in (tmp_path / "log").read_text(), seconds=120)
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("window.solov2?.status.connected")
        assert len(list(cache.glob("tmp*"))) == 1
        start(page, "Built-in clip")
        wait_for_pictures(page)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        build = tmp_path / "app" / "page" / "build.py"
        build.write_text(build.read_text().replace("<h1>SOLOv2 live</h1>", "<h1>Changed live</h1>"))
        page.get_by_role("heading", name="Changed live").wait_for()
        page.wait_for_function("window.solov2.status.connected")
        wait_until(lambda: len(list(cache.glob("tmp*"))) == 1)
        page.wait_for_function("window.solov2.status.state === 'idle'")  # the old stream has ended with its code
        page.get_by_label("Track instances").first.wait_for()
        start(page, "Built-in clip")
        wait_for_pictures(page)
        assert len(os.listdir(f"/proc/{process.pid}/task")) <= threads + 4  # of which some serve requests
        page.close()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        log.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list(cache.glob("tmp*")) == []
