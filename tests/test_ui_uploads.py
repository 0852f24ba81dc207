"""Pictures and videos of a visitor, with the real model in a real browser."""

import json
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage.data

from tests.browser import WAIT_MS, chromium, served, wait_until
from tests.fake_media import grey, write_picture, write_video

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_picture_is_segmented_and_its_instances_can_be_cut_out(tmp_path: Path) -> None:
    photograph = write_picture(tmp_path / "astronaut.png", skimage.data.astronaut()[..., ::-1])
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    options = ["--port", "7912", "--model", "nano"]
    with chromium() as browser, served(tmp_path, *options, with_fake_model=False) as (address, site):
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        page.get_by_role("tab", name="Picture").click()
        page.locator(".picture[data-mounted]").wait_for()
        page.set_input_files(".picture input[type=file]", str(photograph))
        row = page.locator(".instances li").first
        assert "person" in row.inner_text()
        box = page.locator("[data-part=overlay]").bounding_box()
        page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.6 * box["height"])
        page.get_by_text("person, score 0.").wait_for()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download the cut-out of this person").first.click()
        waiting.value.save_as(tmp_path / "cut.png")
        cut = cv2.imread(str(tmp_path / "cut.png"), cv2.IMREAD_UNCHANGED)
        found = site.engine.models.get("nano").predict(skimage.data.astronaut())
        best = found.crops[0].mask
        assert cut.shape == (*best.shape, 4)
        assert np.array_equal(cut[..., 3] > 0, best)
        page.set_input_files(".picture input[type=file]", str(text))
        page.get_by_text("This file is not a picture that a browser can show.").wait_for()
        page.close()


def test_a_video_is_uploaded_annotated_played_and_downloaded(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "holiday.mp4", [grey(20 * i, (96, 128)) for i in range(8)])
    playlist = tmp_path / "trick.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    options = ["--port", "7913", "--model", "nano"]
    with chromium() as browser, served(tmp_path / "page", *options, with_fake_model=False) as (address, site):
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        page.get_by_role("tab", name="Video").click()
        page.get_by_role("button", name="Annotate").wait_for()
        page.set_input_files("input[type=file][multiple]", [str(clip), str(playlist)])
        page.get_by_text("trick").first.wait_for()
        page.get_by_role("button", name="Annotate").click()
        page.get_by_text("done: 8 frames").wait_for()
        page.get_by_text("failed: this is not a video that can be read").wait_for()
        page.wait_for_function(
            "[...document.querySelectorAll('.pair video')].filter((one) => one.readyState >= 2).length === 2"
        )
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
