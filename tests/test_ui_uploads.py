"""Pictures and videos of a visitor, with the real model in a real browser."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import skimage.data

from app.page.site import Site
from tests.browser import WAIT_MS, chromium, drop_file, paste_picture, served
from tests.fake_media import grey, write_picture, write_video
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

DROP_ZONE = ".drop [aria-dropeffect]"
DESCRIBED = "person, score 0."


@pytest.fixture(scope="module")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str, Site]]:
    folder = tmp_path_factory.mktemp("page")
    options = ["--model", "nano", "--max-upload", "3"]
    with chromium() as browser, served(folder, *options, with_fake_model=False) as (address, site):
        yield browser, address, site


@pytest.fixture
def site(served_page: tuple[Any, str, Site]) -> Site:
    return served_page[2]


@pytest.fixture
def visit(served_page: tuple[Any, str, Site]) -> Iterator[Callable[[str], Any]]:
    """Opens a tab of the page as a new visitor; an error on its console fails the test."""
    browser, address, _ = served_page
    context = browser.new_context(viewport={"width": 1300, "height": 800}, permissions=["clipboard-write"])
    errors: list[str] = []

    def open_tab(name: str) -> Any:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.get_by_role("tab", name=name).click()
        page.locator(DROP_ZONE if name == "Video" else ".picture[data-mounted]").wait_for()
        return page

    yield open_tab
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture(tmp_path_factory.mktemp("photograph") / "astronaut.png", skimage.data.astronaut()[..., ::-1])


def test_a_picture_is_segmented_and_its_instances_can_be_cut_out(
    visit: Callable[[str], Any], site: Site, photograph: Path, tmp_path: Path
) -> None:
    page = visit("Picture")
    page.set_input_files(".picture input[type=file]", str(photograph))
    assert "person" in page.locator(".instances li").first.inner_text()
    box = page.locator("[data-part=overlay]").bounding_box()
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.6 * box["height"])
    page.get_by_text(DESCRIBED).wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the cut-out of this person").first.click()
    waiting.value.save_as(tmp_path / "cut.png")
    cut = cv2.imread(str(tmp_path / "cut.png"), cv2.IMREAD_UNCHANGED)
    found = site.engine.models.get("nano").predict(skimage.data.astronaut())
    best = found.crops[0].mask
    assert cut is not None
    assert cut.shape == (*best.shape, 4)
    assert np.array_equal(cut[..., 3] > 0, best)


def test_a_picture_is_dropped_and_its_instances_are_chosen_with_the_arrow_keys(
    visit: Callable[[str], Any], photograph: Path
) -> None:
    page = visit("Picture")
    drop_file(page, ".picture .stage", photograph, "image/png")
    page.locator(".instances li").first.wait_for()
    page.get_by_role("slider").locator("visible=true").focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelectorAll('.instances li').length > 2")
    page.keyboard.press("Tab")
    chosen = "[...document.querySelectorAll('.instance')].findIndex((one) => one.ariaPressed === 'true')"
    assert page.evaluate("document.activeElement.className") == "instance"
    for key, expected in (
        ("Enter", 0),
        ("ArrowDown", 1),
        ("ArrowDown", 2),
        ("ArrowUp", 1),
        ("Home", 0),
        ("Escape", -1),
    ):
        page.keyboard.press(key)
        assert page.evaluate(chosen) == expected
        assert page.get_by_text(re.compile(r"^[a-z ]+, score 0\.")).first.is_visible() == (expected >= 0)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_picture_is_pasted(visit: Callable[[str], Any], photograph: Path) -> None:
    page = visit("Picture")
    paste_picture(page, photograph)
    assert "person" in page.locator(".instances li").first.inner_text()


def test_what_is_no_picture_is_said_and_leaves_nothing_of_the_picture_before(
    visit: Callable[[str], Any], photograph: Path, tmp_path: Path
) -> None:
    page = visit("Picture")
    drop_file(page, ".picture .stage", photograph, "image/png")
    page.locator(".instances li").first.wait_for()
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    page.set_input_files(".picture input[type=file]", str(text))
    page.get_by_text("This file is not a picture that a browser can show.").wait_for()
    assert page.locator(".instances li").count() == 0
    assert not page.locator(".picture canvas").first.is_visible()
    large = tmp_path / "large.bmp"
    write_picture(large, grey(1, (1100, 1000)))
    drop_file(page, ".picture .stage", large, "image/bmp")
    page.get_by_text("The file is larger than 3 MB.").wait_for()


def test_a_video_is_dropped_annotated_played_beside_its_original_and_downloaded(
    visit: Callable[[str], Any], site: Site, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "holiday.mp4", [grey(20 * i, (96, 128)) for i in range(8)])
    page = visit("Video")
    drop_file(page, DROP_ZONE, clip, "video/mp4")
    page.get_by_text("holiday").first.wait_for()
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("done: 8 frames").wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('.pair video')].filter((one) => one.readyState >= 2).length === 2"
    )
    left, right = (one.bounding_box() for one in page.locator(".pair video").all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    page.evaluate("document.querySelectorAll('.pair video').forEach((one) => one.play())")
    page.wait_for_function("[...document.querySelectorAll('.pair video')].every((one) => one.currentTime > 0.04)")
    files = {}
    for label in ("Video", "COCO", "YOLO", "JSON lines"):
        with page.expect_download() as waiting:
            page.locator(".bar").get_by_role("link", name=label, exact=True).click()
        files[label] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(files[label])
    with av.open(str(files["Video"])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8
    assert len(json.loads(files["COCO"].read_text())["images"]) == 8
    assert zipfile.is_zipfile(files["YOLO"])
    assert len(files["JSON lines"].read_text().splitlines()) == 9
    page.close()
    wait_until(lambda: not list(site.folder.glob("videos/*")))


def test_a_video_that_is_none_or_too_large_is_refused_and_the_next_is_taken(
    visit: Callable[[str], Any], tmp_path: Path
) -> None:
    playlist, text, large = (tmp_path / name for name in ("trick.mp4", "text.mp4", "large.mp4"))
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    text.write_text("words and nothing else")
    large.write_bytes(bytes(4 << 20))
    page = visit("Video")
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("Drop a video first.").wait_for()
    drop_file(page, DROP_ZONE, large, "video/mp4")
    page.get_by_text("exceed the maximum allowed size of 3.0 Mb").wait_for()
    page.set_input_files("input[type=file][multiple]", [str(playlist), str(text)])
    page.get_by_text("trick").first.wait_for()
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("failed: this is not a video that can be read").nth(1).wait_for()
    assert "Traceback" not in page.inner_text("body")


def test_a_video_at_work_is_cancelled_without_a_trace_and_another_one_is_taken(
    visit: Callable[[str], Any], site: Site, tmp_path: Path
) -> None:
    film = write_video(tmp_path / "film.mp4", [grey(i % 250, (96, 128)) for i in range(8000)])
    page = visit("Video")
    cancel = page.get_by_role("button", name="Cancel")
    assert cancel.is_disabled()
    drop_file(page, DROP_ZONE, film, "video/mp4")
    page.get_by_text("film").first.wait_for()
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("of 8000 frames").wait_for()
    (job,) = site.folder.glob("videos/*")
    assert len(list(job.iterdir())) > 1
    cancel.click()
    page.get_by_text("cancelled").wait_for()
    wait_until(lambda: [path.name for path in job.iterdir()] == ["original"])
    wait_until(cancel.is_disabled)
    short = write_video(tmp_path / "short.mp4", [grey(9, (96, 128))] * 2)
    drop_file(page, DROP_ZONE, short, "video/mp4")
    page.get_by_text("short").first.wait_for()
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("done: 2 frames").wait_for()
