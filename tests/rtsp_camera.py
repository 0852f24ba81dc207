"""A camera for tests: GStreamer's RTSP server on loopback, in a process of its own, and the clips that it sends."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")


@dataclass(frozen=True)
class Camera:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def address(self, login: str = "", path: str = "live") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/{path}"


@contextmanager
def rtsp_camera(clip: Path, *options: str) -> Iterator[Camera]:
    """Serve `clip`, with these options of `rtsp_server.py`; skip the test where there is no such server."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"no {SYSTEM_PYTHON} here")
    command = [SYSTEM_PYTHON, str(SERVER), str(clip), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            pytest.skip(f"no GStreamer RTSP server here: {process.communicate()[1].strip().splitlines()[-1]}")
        yield Camera(process, int(port))
    finally:
        process.kill()
        process.communicate()


def write_moving_clip(path: Path, codec: str = "libx264", seconds: int = 12, group_seconds: int = 1) -> Path:
    """Write noise that moves by 4 px a frame, 320x192 at 25 fps, with a key frame every `group_seconds`."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    group = 25 * group_seconds
    name = "x264-params" if codec == "libx264" else "x265-params"
    params = f"keyint={group}:min-keyint={group}:scenecut=0:bframes=0:log-level=" + ("0" if codec == "libx264" else "1")
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"preset": "ultrafast", name: params})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for index in range(25 * seconds):
            picture = av.VideoFrame.from_ndarray(np.roll(noise, 4 * index, 1), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
