"""The screen as a source, under a real X server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import islice

import pytest

from app.sources.screen import ScreenSource, parse_region
from app.stream_errors import SourceError


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not shutil.which("Xvfb"):
        pytest.skip("needs Xvfb (apt-get install xvfb)")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-noreset"]
    process = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with open(reading) as numbers:
        monkeypatch.setenv("DISPLAY", f":{numbers.readline().strip()}")
    yield
    process.terminate()
    process.wait()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize(("spec", "hw"), [("screen:", (480, 640)), ("screen:100,50,320x240", (240, 320))])
def test_the_screen_or_a_part_of_it_is_a_live_source(spec: str, hw: tuple[int, int]) -> None:
    source = ScreenSource(spec)
    assert (source.is_live, source.frame_hw, source.source_id) == (True, hw, spec)
    frames = list(islice(source, 3))
    source.close()
    assert [frame.image.shape for frame in frames] == [(*hw, 3)] * 3
    assert 0 < frames[2].pts_seconds - frames[0].pts_seconds < 5


@pytest.mark.usefixtures("screen")
def test_a_region_outside_of_the_screen_is_told_in_one_line() -> None:
    with pytest.raises(SourceError, match="could not open screen:600,400,320x240: no display, no permission"):
        ScreenSource("screen:600,400,320x240")


@pytest.mark.parametrize("spec", ["screen:1,2", "screen:0,0,0x100", "screen:-1,0,10x10"])
def test_a_region_that_is_none_is_told_with_what_one_is(spec: str) -> None:
    with pytest.raises(SourceError, match=r"a screen is 'screen:' or 'screen:LEFT,TOP,WIDTHxHEIGHT', got 'screen:"):
        parse_region(spec)
