"""A live stream from a real RTSP server, over a network that delays, loses, stalls and cuts."""

import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from app.sources import live, open_source
from app.sources.backoff import Backoff
from app.sources.live import LiveSource
from app.sources.network import open_network
from app.sources.reconnecting import ReconnectingSource
from app.stream.frames import Frame
from app.stream.source_status import SourceStatus
from tests.fault_proxy import FaultProxy
from tests.rtsp_camera import rtsp_camera, write_moving_clip

pytestmark = pytest.mark.rtsp

MAX_DIFFERENCE = 6.0  # in the mean, between a picture and what was decoded from the file: the conversions differ
SOON_SECONDS = 1.0  # 0.3 s, and what a loaded machine adds


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("live") / "clip.mp4")


def decoded(path: Path) -> list[npt.NDArray[np.int16]]:
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="rgb24").astype(np.int16) for picture in container.decode(video=0)]


def is_intact(frame: Frame, originals: list[npt.NDArray[np.int16]]) -> bool:
    """Whether the frame looks like one of the file, whose pictures all differ."""
    return min(float(np.abs(frame.image - original).mean()) for original in originals) < MAX_DIFFERENCE


@pytest.mark.parametrize("group_seconds", [1, 8])
@pytest.mark.parametrize(("codec", "served_as"), [("libx264", "h264"), ("libx265", "h265")])
def test_the_first_picture_comes_at_once_however_far_key_frames_lie_apart(
    group_seconds: int, codec: str, served_as: str, tmp_path: Path
) -> None:
    path = write_moving_clip(tmp_path / "clip.mp4", codec, 10, group_seconds)
    with rtsp_camera(path, "--codec", served_as) as camera:
        open_source(camera.address()).close()
        started = time.monotonic()
        source = open_source(camera.address())
        first = next(iter(source))
        assert time.monotonic() - started < SOON_SECONDS
        source.close()
        assert is_intact(first, decoded(path)[:3])
        assert isinstance(source, LiveSource)
        assert source.details.startswith("320x192 ")


@pytest.mark.parametrize(
    ("codec", "served_as", "lost"), [("libx264", "h264", "lose_packets"), ("libx265", "h265", "lose_pictures")]
)
def test_pictures_that_refer_to_lost_ones_are_not_shown(codec: str, served_as: str, lost: str, tmp_path: Path) -> None:
    path = write_moving_clip(tmp_path / "clip.mp4", codec)
    with rtsp_camera(path, "--codec", served_as) as camera, FaultProxy(camera.port) as proxy:
        source = open_source(f"rtsp://127.0.0.1:{proxy.port}/live")
        assert isinstance(source, LiveSource)
        frames = iter(source)
        next(frames)
        setattr(proxy, lost, 0.05)
        shown = list(islice(frames, 60))
        source.close()
    originals = decoded(path)
    assert source.corrupt > 10
    assert sum(not is_intact(frame, originals) for frame in shown) <= 3


def test_a_stream_that_is_joined_between_key_frames_begins_with_the_next(tmp_path: Path) -> None:
    path = write_moving_clip(tmp_path / "clip.mp4", seconds=10, group_seconds=3)
    with rtsp_camera(path, "--shared") as camera:
        first_viewer = open_source(camera.address())
        threading.Thread(target=lambda: list(islice(first_viewer, 200)), daemon=True).start()
        time.sleep(1)
        source = open_source(camera.address())
        shown = list(islice(source, 10))
        source.close()
        first_viewer.close()
    originals = decoded(path)
    assert all(is_intact(frame, originals) for frame in shown)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (FaultProxy.cut, "the sender ended the stream"),
        (FaultProxy.stall, "nothing came for 1 s"),
    ],
    ids=["cut", "half open"],
)
def test_a_broken_connection_is_made_again(
    break_it: Callable[[FaultProxy], None], reason: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "READ_SECONDS", 1.0)
    told: list[SourceStatus] = []
    with rtsp_camera(clip) as camera, FaultProxy(camera.port) as proxy:
        address = f"rtsp://127.0.0.1:{proxy.port}/live"
        source = ReconnectingSource(address, lambda: open_network(address), Backoff(0.5, 0.5), told.append)
        frames = iter(source)
        for _ in range(3):
            assert len(list(islice(frames, 5))) == 5
            before = source.status.reconnects
            break_it(proxy)
            while source.status.reconnects == before:
                next(frames)
            proxy.go_on()
        source.close()
    assert {status.reason for status in told if status.phase == "waiting"} == {reason}
    assert source.status.reconnects == 3


def test_a_backlog_shows_in_the_age_of_the_pictures(clip: Path) -> None:
    with rtsp_camera(clip) as camera, FaultProxy(camera.port) as proxy:
        source = open_source(f"rtsp://127.0.0.1:{proxy.port}/live")
        frames = iter(source)
        for frame in islice(frames, 10):
            young = frame.age_seconds()
        proxy.stall()
        threading.Timer(1.0, proxy.go_on).start()
        oldest = max(frame.age_seconds() for frame in islice(frames, 30))
        source.close()
    assert young < 0.3
    assert 0.8 < oldest < 1.6
