"""An RTSP camera in the page: a real server, a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import WAIT_MS, chromium, served
from tests.rtsp_camera import Camera
from tests.test_rtsp import counting_clip, start_camera  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.rtsp, pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_rtsp_camera_is_shown_and_its_password_is_not(
    start_camera: Callable[..., Camera],  # noqa: F811
    tmp_path: Path,
) -> None:
    camera = start_camera("--login", "anna:secretword")
    with chromium() as browser, served(tmp_path, "--allow-address", "127.0.0.1") as (address, site):
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        page.wait_for_function("window.solov2?.status.connected")
        page.get_by_label("Stream by address", exact=True).check()
        page.get_by_label("Address", exact=True).fill(camera.address("anna:secretword@"))
        page.get_by_label("Address", exact=True).press("Enter")
        page.wait_for_function("window.solov2.painted >= 10")
        assert [feed.source.is_live for feed in site.engine.feeds] == [True]
        assert page.evaluate("window.solov2.status.source") == f"rtsp://127.0.0.1:{camera.port}/…"
        assert "secretword" not in page.content()
        page.close()
