"""How fast pictures reach a browser: painted per second in Chromium, their age, and what a long stream leaves behind.

    python -m benchmarks.page --seconds 30
    python -m benchmarks.page --seconds 600 --reloads 20
    python -m benchmarks.page --model nano

In the first two the model finds one rectangle in no time, so that what is measured is the way of the pictures: 1280x720
at 60 frames per second from a file that is repeated; and 640x480 from the browser's camera to the server and back.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.page.status import stream_status
from app.page.stream_runner import Engine
from app.sources.demo import DemoSource
from tests.browser import chromium, served, write_camera
from tests.fake_media import write_video

FILE, CAMERA = "File on the server", "This device's camera"
MEMORY_SAMPLES = 6
PAGE = "[performance.now(), window.solov2.painted, window.solov2.ageMs, window.solov2.roundTripMs]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of each measurement (%(default)s)")
    parser.add_argument("--reloads", type=int, default=0, help="of the page in mid-stream (%(default)s)")
    parser.add_argument("--model", help="compare a real model's rate on the page with that of app.webcam, instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = folder / "clips"
        clips.mkdir()
        images = [frame.image for frame in DemoSource()][60:180]
        clip = write_video(clips / "clip.mp4", images, [round(i * 1000 / 60) for i in range(len(images))])
        camera = write_camera(folder / "camera.mjpeg")
        cache = folder / "page"
        cache.mkdir()
        arguments = ["--folder", str(clips), *(["--model", options.model] if options.model else [])]
        with (
            chromium(camera) as browser,
            served(cache, *arguments, with_fake_model=options.model is None) as (address, site),
        ):
            page = browser.new_page()
            page.goto(address)
            page.wait_for_function("window.solov2?.status.connected", timeout=300_000)
            if options.model:
                compare_with_window(page, site.engine, clip, options.model, options.seconds)
                return
            for kind in (FILE, CAMERA):
                threads = threading.active_count()
                start(page, kind)
                print(kind, measure(page, options.seconds, cache), flush=True)
                for _ in range(options.reloads if kind == FILE else 0):
                    page.reload()
                    page.wait_for_function("window.solov2?.painted > 5", timeout=60_000)
                if options.reloads and kind == FILE:
                    print(f"  {options.reloads} reloads;", measure(page, 10, cache), flush=True)
                site.engine.stop()
                print("  threads before and after:", threads, settled_threads(site.engine, threads), flush=True)


def start(page: Any, kind: str) -> None:
    """Start the stream of a kind, and wait until it is shown."""
    page.get_by_label(kind, exact=True).check()
    page.wait_for_timeout(3000)
    page.locator("#start").click()
    page.wait_for_function("window.solov2.status.state === 'running' && window.solov2.painted > 20", timeout=120_000)


def compare_with_window(page: Any, engine: Engine, clip: Path, model: str, seconds: float) -> None:
    """Print the rate of a model on the page, and that of `app.webcam`, which saves what it draws, by turns."""
    ratios = []
    for _ in range(3):
        start(page, FILE)
        first, began = stream_status(engine)["stats"]["displayed"], time.monotonic()
        page.wait_for_timeout(1000 * seconds)
        on_page = (stream_status(engine)["stats"]["displayed"] - first) / (time.monotonic() - began)
        engine.stop()
        stats = clip.parent.parent / "stats.json"
        command = [sys.executable, "-m", "app.webcam", "--source", str(clip), "--model", model, "--headless"]
        saved = ["--save", str(stats.with_suffix(".mp4")), "--stats-json", str(stats)]
        subprocess.run([*command, *saved], check=True, capture_output=True)
        alone = json.loads(stats.read_text())["mean_fps"]
        ratios.append(on_page / alone)
        print(f"page {on_page:.1f}, app.webcam {alone:.1f} frames per second", flush=True)
    print(f"page: {100 * statistics.median(ratios):.1f} % of app.webcam (median of {len(ratios)})")


def measure(page: Any, seconds: float, cache: Path) -> str:
    """Let the stream run; return what was seen."""
    memory, files = [resident_mb()], files_in(cache)
    samples = [page.evaluate(PAGE)]
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        page.wait_for_timeout(min(500, 1000 * seconds))
        samples.append(page.evaluate(PAGE))
        if passed > len(memory) * seconds / MEMORY_SAMPLES:
            memory.append(resident_mb())
    (begin, first, *_), (end, last, *_) = samples[0], samples[-1]
    ages, round_trips = np.array(samples)[:, 2], np.array(samples)[:, 3]
    stats = page.evaluate("window.solov2.status.stats")
    steps = ", ".join(f"{step} {milliseconds:.1f}" for step, milliseconds in stats["steps_ms"].items())
    return (
        f"{1000 * (last - first) / (end - begin):.1f} painted per second; age {np.median(ages):.0f} ms, there and back "
        f"{np.median(round_trips):.0f} ms (medians); memory {' '.join(map(str, [*memory, resident_mb()]))} MB; "
        f"files {files} to {files_in(cache)}; ms per frame: {steps}"
    )


def settled_threads(engine: Engine, expected: int, wait: Callable[[float], None] = time.sleep) -> int:
    """The threads of this process, once those of the stream have had time to end."""
    for _ in range(50):
        if threading.active_count() <= expected and not engine.is_running:
            break
        wait(0.1)
    return threading.active_count()


def resident_mb() -> int:
    """What this process has in memory, where Linux tells."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def files_in(folder: Path) -> int:
    """How many files lie in a folder, at any depth."""
    return sum(path.is_file() for path in folder.rglob("*"))


if __name__ == "__main__":
    main()
