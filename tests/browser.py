"""A page served in this process and headless Chromium to look at it, for tests with the mark `browser`."""

import argparse
import asyncio
import base64
import shutil
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import gradio.networking
import pytest

from app.page import build
from app.page import stream_runner as engine_module
from app.page.model_cache import Models
from app.page.server_options import build_parser
from app.page.site import Site
from app.sources.demo import DemoSource
from app.stream.frames import Picture
from tests.fake_instances import rectangles
from tests.fake_model import FakeModel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
).split()
WAIT_MS = 180_000


class OnePersonPredictor:
    """Finds one person of score 0.9 in the middle of every image, in no time."""

    class_names = FakeModel.class_names
    workers = batch_size = 1

    def __init__(self, model: FakeModel, engine: str = "eager", hint: str = "latency") -> None:
        pass

    def predict_batch(
        self,
        images: Sequence[Picture],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Any]:
        if steps_ms is not None:
            steps_ms["network"] = 0.1
        return [self._find(image, score_threshold) for image in images]

    def _find(self, image: Picture, score_threshold: float) -> Any:
        height, width = image.shape[:2]
        box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
        boxes = [box] if score_threshold <= 0.9 else []
        return rectangles((height, width), boxes, [0] * len(boxes))


def options_of(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args(arguments)


@contextmanager
def closing_event_loops() -> Iterator[None]:
    """Close the event loops that Gradio makes in this thread and forgets."""
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def remember() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", remember)
        try:
            yield
        finally:
            asyncio.set_event_loop(None)
            for loop in made:
                loop.close()


def free_port() -> int:
    """Return the number of a port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def served(folder: Path, *arguments: str, with_fake_model: bool = True) -> Iterator[tuple[str, Site]]:
    """Serve a page at a free port; yield its address and its site."""
    options = options_of("--port", str(free_port()), *arguments)
    folder.mkdir(parents=True, exist_ok=True)
    with closing_event_loops(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setattr(gradio.networking, "url_ok", lambda url: True)  # it gives up early on a busy machine
        if with_fake_model:
            patch.setattr(Models, "get", lambda self, name, device="auto": FakeModel())
            patch.setattr(engine_module, "open_predictor", OnePersonPredictor)
        site = build.build_site(options, folder)
        blocks = build.build_blocks(site)
        try:
            _, address, _ = blocks.launch(**build.launch_options(options), prevent_thread_lock=True, quiet=True)
            yield address, site
        finally:
            blocks.close(verbose=False)
            site.close()


@contextmanager
def chromium(camera: Path | None = None, more_flags: Sequence[str] = ()) -> Iterator[Any]:
    """Start a browser of one's own; skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    flags = [*FLAGS, *more_flags, *([f"--use-file-for-fake-video-capture={camera}"] if camera else [])]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def write_camera(path: Path, wh: tuple[int, int] = (640, 480), count: int = 20) -> Path:
    """A clip of photographs as Motion JPEG, which Chromium plays as a camera."""
    jpegs = []
    for _, frame in zip(range(count), DemoSource(), strict=False):
        bgr = cv2.resize(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), wh)
        jpegs.append(cv2.imencode(".jpg", bgr)[1].tobytes())
    path.write_bytes(b"".join(jpegs))
    return path


def drop_file(page: Any, selector: str, path: Path, kind: str) -> None:
    """Drop a file on an element, as from another window."""
    script = """([selector, name, type, data]) => {
        const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], name, { type }));
        for (const event of ["dragenter", "dragover", "drop"])
            document.querySelector(selector).dispatchEvent(
                new DragEvent(event, { bubbles: true, cancelable: true, dataTransfer }));
    }"""
    page.evaluate(script, [selector, path.name, kind, base64.b64encode(path.read_bytes()).decode()])


def paste_picture(page: Any, path: Path) -> None:
    """Copy a PNG file's picture and press Control+V; the page needs the permission "clipboard-write"."""
    script = """async (data) => {
        const png = await (await fetch(`data:image/png;base64,${data}`)).blob();
        await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    }"""
    page.evaluate(script, base64.b64encode(path.read_bytes()).decode())
    page.keyboard.press("Control+V")
