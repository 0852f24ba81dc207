import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import pytest

from app.sources import browser, open_source
from app.sources.browser import BrowserClock, BrowserSource, decode
from app.sources.demo import DemoSource
from app.sources.repeated import RepeatedSource
from app.stream.frames import Frame
from app.stream_errors import SourceError
from tests.fake_media import grey, write_video


def jpeg_of(value: int) -> bytes:
    return cv2.imencode(".jpg", grey(value))[1].tobytes()


def test_the_newest_picture_of_a_browser_wins() -> None:
    source = BrowserSource("anna")
    for number in range(5):
        source.push(jpeg_of(40 * number), 1000 + number)
    frames = iter(source)
    frame = next(frames)
    assert (frame.pts, frame.time_base, frame.index) == (1004, Fraction(1, 1000), 0)
    assert abs(int(frame.image.mean()) - 160) <= 2
    threading.Timer(0.1, source.push, (jpeg_of(10), 1200)).start()
    assert next(frames).pts == 1200
    source.close()
    assert list(frames) == []
    source.push(jpeg_of(1), 1300)


def test_closing_ends_a_wait_for_a_picture_at_once() -> None:
    source = BrowserSource("anna")
    threading.Timer(0.1, source.close).start()
    started = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - started < 5


def test_a_browser_that_sends_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "FIRST_SECONDS", 0.05)
    with pytest.raises(SourceError, match="the browser sent no picture"):
        next(iter(BrowserSource("anna")))


def test_the_browsers_own_reason_is_told() -> None:
    source = BrowserSource("anna")
    source.fail("this device has no camera")
    with pytest.raises(SourceError, match="this device has no camera"):
        next(iter(source))


def test_what_is_no_picture_is_left_out_and_told_if_nothing_else_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "NEXT_SECONDS", 0.3)
    source = BrowserSource("anna")
    frames = iter(source)
    source.push(jpeg_of(10), 1000)
    assert next(frames).pts == 1000
    threading.Timer(0.05, source.push, (b"no picture", 1100)).start()
    threading.Timer(0.15, source.push, (jpeg_of(20), 1200)).start()
    assert next(frames).pts == 1200
    source.push(b"no picture", 1300)
    with pytest.raises(SourceError, match="not a JPEG picture"):
        next(frames)


def test_timestamps_go_on_whatever_the_browsers_clock_does() -> None:
    clock = BrowserClock()
    given = [
        (5000, 10.0),
        (5040, 10.04),
        (0, 12.04),
        (40, 12.08),
        (10**11, 12.12),
        (10**11 + 40, 12.16),
        (10**11, 12.16),
    ]
    assert [clock.pts(*one) for one in given] == [5000, 5040, 7040, 7080, 7120, 7160, 7161]


def test_only_jpegs_are_decoded() -> None:
    assert decode(jpeg_of(7)).shape == (48, 64, 3)
    for data in (b"GIF89a nothing", cv2.imencode(".png", grey(7))[1].tobytes(), jpeg_of(7)[:300], b""):
        with pytest.raises(SourceError, match="not a JPEG picture, or is damaged"):
            decode(data)


def test_a_repeated_file_goes_on_at_its_own_pace(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [grey(20 * i) for i in range(4)])
    source = RepeatedSource(lambda: open_source(str(path)))
    frames = list(islice(source, 11))
    source.close()
    assert [frame.index for frame in frames] == list(range(11))
    assert [round(frame.pts_seconds, 3) for frame in frames] == pytest.approx([0.04 * i for i in range(11)], abs=0.002)
    assert abs(int(frames[5].image.mean()) - int(frames[1].image.mean())) <= 2


def test_a_clock_that_begins_late_does_not_hold_up_the_rounds(tmp_path: Path) -> None:
    path = write_video(tmp_path / "recorded.mkv", [grey(20 * i) for i in range(4)], [90_000 + 40 * i for i in range(4)])
    source = RepeatedSource(lambda: open_source(str(path)))
    seconds = [frame.pts_seconds for frame in islice(source, 11)]
    source.close()
    assert seconds == pytest.approx([90 + 0.04 * i for i in range(11)], abs=0.005)


def test_closing_a_repeated_source_ends_it() -> None:
    source = RepeatedSource(DemoSource)
    frames = iter(source)
    assert next(frames).index == 0
    source.close()
    assert list(frames) == []


def test_a_source_without_frames_is_not_opened_for_ever() -> None:
    opened = []

    class Nothing(DemoSource):
        def __iter__(self) -> Iterator[Frame]:
            opened.append(self)
            return iter(())

    assert list(RepeatedSource(Nothing)) == []
    assert len(opened) == 1
