"""Live outputs: real receivers on 127.0.0.1, and what happens where there is none."""

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
import pytest

from app.sinks.mjpeg_server import TOKEN_VARIABLE, MjpegServer
from app.sinks.network_video import NetworkVideo
from app.sinks.raw_pipe import RawPipe
from app.sinks.virtual_camera import VirtualCamera
from app.stream.controls import ControlPanel
from app.stream.frames import Result
from app.stream.parts import Quit
from app.stream_errors import SinkError
from app.webcam_live_outputs import check_live_outputs
from tests.broker import free_port
from tests.fake_instances import result_of

PTS_MS = [0, 40, 90, 120, 200, 240, 281, 320, 400, 445]


def results(hw: tuple[int, int] = (48, 65)) -> list[Result]:
    return [
        result_of(np.full((*hw, 3), 20 + 20 * number, np.uint8), pts=5000 + ms, time_base=Fraction(1, 1000))
        for number, ms in enumerate(PTS_MS)
    ]


class Receiver:
    """FFmpeg as a server that takes one stream: PyAV with its option to listen, in a process of its own."""

    PROGRAM = (
        "import av, sys\n"
        "kind, address = sys.argv[1:]\n"
        "options = {'listen': '1'} if kind == 'flv' else {'rtsp_flags': 'listen', 'listen_timeout': '60'}\n"
        "with av.open(address, format=kind, options=options, timeout=(60, 60)) as container:\n"
        "    for picture in container.decode(video=0):\n"
        "        ms = -1 if picture.time is None else round(1000 * picture.time)\n"
        "        print(ms, round(picture.to_ndarray(format='rgb24').mean()), flush=True)\n"
    )

    def __init__(self, scheme: str) -> None:
        self.address = f"{scheme}://127.0.0.1:{free_port()}/live/key"
        kind = "flv" if scheme == "rtmp" else "rtsp"
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, kind, self.address], stdout=subprocess.PIPE, text=True
        )

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def pictures(self) -> list[tuple[int, int]]:
        """Milliseconds (-1: RTP has told no time yet) and brightness of each picture, once the stream has ended."""
        out, _ = self._process.communicate(timeout=120)
        return [(int(ms), int(mean)) for ms, mean in (line.split() for line in out.splitlines())]


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_a_real_server_receives_every_picture_with_its_time(scheme: str, request: pytest.FixtureRequest) -> None:
    told: list[str] = []
    receiver = Receiver(scheme)
    request.addfinalizer(receiver.end)
    sink = NetworkVideo(receiver.address, scheme, 25.0, told.append)
    given = results()
    deadline = time.monotonic() + 60
    while not sink.sent:
        sink.write(given[0])
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    for result in given[1:]:
        sink.write(result)
    sink.close()
    received = receiver.pictures()
    assert sink.sent == len(given)
    timed = [(ms - given_ms) for (ms, _), given_ms in zip(received, PTS_MS, strict=True) if ms >= 0]
    assert len(timed) >= len(given) - 2
    assert max(timed) - min(timed) <= 2
    assert [mean for _, mean in received] == pytest.approx([20 + 20 * number for number in range(10)], abs=4)


def test_a_server_that_refuses_is_one_line_and_tried_again() -> None:
    told: list[str] = []
    sink = NetworkVideo(f"rtmp://127.0.0.1:{free_port()}/live/secret", "rtmp://127.0.0.1/…", 25.0, told.append)
    for result in results():
        sink.write(result)
    sink.close()
    assert sink.sent == 0
    (line,) = told
    assert line.startswith("rtmp://127.0.0.1/… does not take pictures: ")
    assert "the run goes on" in line
    assert "secret" not in line


def test_motion_jpeg_is_served_to_those_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    server = MjpegServer("127.0.0.1", 0, ControlPanel())
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.02):
            server.write(results()[0])

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        base = server.address.partition("?")[0]
        assert httpx.get(base).status_code == 401
        assert httpx.get(f"{base}?token=wrong").status_code == 401
        headers = {"Authorization": "Bearer s3cret"}
        with httpx.stream("GET", base, headers=headers, timeout=20) as answer:
            assert answer.status_code == 200
            received = b""
            for part in answer.iter_raw():
                received += part
                if received.count(b"\xff\xd9") >= 2:
                    break
        with av.open(server.address, format="mpjpeg", timeout=20) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert abs(float(picture.mean()) - 20) < 3
    finally:
        stop.set()
        thread.join()
        server.close()


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SinkError, match=f"could not listen at 127.0.0.1:{port}"):
            MjpegServer("127.0.0.1", port, ControlPanel())


def test_another_program_reads_raw_pictures_from_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    program = "import sys; data = sys.stdin.buffer.read(); print(len(data), *data[:: 48 * 65 * 3])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        sink = RawPipe(25.0, reader.stdin.fileno())
        for result in results():
            sink.write(result)
        sink.write(replace(results()[0], frame=results((24, 33))[0].frame))
        out, _ = reader.communicate(timeout=60)
    length, *first = map(int, out.split())
    assert length == 11 * 48 * 65 * 3
    assert first == [*(20 + 20 * number for number in range(10)), 20]
    assert "-f rawvideo -pixel_format rgb24 -video_size 65x48 -framerate 25" in capsys.readouterr().err


def test_a_pipe_that_nobody_reads_any_more_ends_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(Quit):
        RawPipe(None, writing).write(results()[0])
    os.close(writing)


class FakeCamera:
    """What pyvirtualcam opens."""

    opened: list["FakeCamera"]

    def __init__(self, width: int, height: int, fps: float, device: str | None = None) -> None:
        if device == "/dev/none":
            raise RuntimeError("no such device:\n/dev/none")
        self.width, self.height, self.fps = width, height, fps
        self.pictures: list[Any] = []
        self.closed = False
        FakeCamera.opened.append(self)

    def send(self, picture: Any) -> None:
        self.pictures.append(picture)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pyvirtualcam(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyvirtualcam")
    module.Camera = FakeCamera  # type: ignore[attr-defined]
    FakeCamera.opened = []
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)


@pytest.mark.usefixtures("pyvirtualcam")
def test_a_virtual_camera_shows_every_picture_in_one_size() -> None:
    sink = VirtualCamera(None, 25.0)
    for result in [*results(), results((24, 33))[0]]:
        sink.write(result)
    sink.close()
    (camera,) = FakeCamera.opened
    assert (camera.width, camera.height, camera.fps, camera.closed) == (65, 48, 25.0, True)
    assert {picture.shape for picture in camera.pictures} == {(48, 65, 3)}
    assert len(camera.pictures) == 11


@pytest.mark.usefixtures("pyvirtualcam")
def test_a_virtual_camera_that_the_system_does_not_have_is_one_line() -> None:
    told: list[str] = []
    sink = VirtualCamera("/dev/none", None, told.append)
    for result in results():
        sink.write(result)
    sink.close()
    assert len(told) == 1
    assert "no such device: /dev/none; it is tried again" in told[0]


@pytest.mark.parametrize(
    ("output", "sources", "problem"),
    [
        ("ftp://me:secret@host/", 1, "--output takes rtsp://"),
        ("window", 1, "--output takes rtsp://"),
        ("rtmp://", 1, "must name where"),
        ("mjpeg://127.0.0.1", 1, "must name where"),
        ("rtmp://host/live", 2, "needs {source}"),
        ("camera:", 2, "needs {source}"),
    ],
)
def test_a_wrong_output_is_one_line(output: str, sources: int, problem: str) -> None:
    options: Any = SimpleNamespace(output=[output], pipe=False)
    with pytest.raises(SinkError) as caught:
        check_live_outputs(options, sources)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
