import errno
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import cv2
import numpy as np
import pytest

from app.sources import camera, camera_faults, live, network, open_source, redact
from app.sources.backoff import Backoff
from app.sources.camera import list_cameras
from app.sources.lasting import find_lasting
from app.sources.source_settings import SourceSettings
from app.stream.frames import Frame
from app.stream.source_status import SourceStatus
from app.stream_errors import Fault, SourceError
from tests.fake_media import frames_until_error, grey, write_video

Answer: TypeAlias = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://host", "rtsp://host"),
        ("RTSP://Host:554/", "RTSP://Host:554"),
        (" rtsp://user:secret@host/path ", "rtsp://host/…"),
        ("rtsp://user:secret@host", "rtsp://host"),
        ("rtsp://user:secret@[fd00::1]:554/path", "rtsp://[fd00::1]:554/…"),
        ("rtsp://host/user=admin_password=secret", "rtsp://host/…"),
        ("http://host/cgi?loginuse=a&loginpas=secret", "http://host/…"),
        ("http://host?psw=secret", "http://host/…"),
        ("http://host#secret", "http://host/…"),
        ("rtsp://user:12/secret@host/path", "rtsp://…"),
        ("rtsp://user:sec@ret@host:554/path", "rtsp://…"),
        ("rtsp://user:sec\\ret@host/path", "rtsp://…"),
        ("rtsp://secret word@host", "rtsp://host"),
        ("rtsp://host:secret", "rtsp://…"),
        ("http://host/?next=http://user:secret@other/", "http://…"),
        ("cache:http://user:secret@host/", "…"),
        ("http://", "http://…"),
        ("/home/me/video.mp4", "/home/me/video.mp4"),
    ],
)
def test_of_an_address_scheme_and_host_are_shown_and_nothing_else(address: str, shown: str) -> None:
    assert redact(address) == shown


@pytest.mark.parametrize("scheme", ["rtsp", "http", "strange"])
def test_an_address_that_cannot_be_opened_is_told_without_its_password(scheme: str) -> None:
    with pytest.raises(SourceError, match=rf"could not open {scheme}://127.0.0.1:9/…: ") as caught:
        open_source(f"{scheme}://user:secret@127.0.0.1:9/live")
    chain = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "secret" not in chain
    assert caught.value.__suppress_context__


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Returns a function that serves what a handler writes and returns the address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True  # the reader has seen enough

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        return f"http://user:secret@127.0.0.1:{server.server_port}/video"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send_motion_jpeg(count: int, seconds_between: float) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        for index in range(count):
            jpeg = cv2.imencode(".jpg", grey(index))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            handler.wfile.write(head.encode() + jpeg + b"\r\n")
            time.sleep(seconds_between)

    return answer


def test_a_motion_jpeg_camera_is_live_and_its_clock_is_the_time_of_arrival(
    serve: Callable[[Answer], str],
) -> None:
    source = open_source(serve(send_motion_jpeg(50, 0.02)))
    assert source.is_live
    assert "secret" not in source.source_id
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 20:
            source.close()
    arrived = frames[-1].captured_at - frames[0].captured_at
    assert len(frames) == 20
    assert frames[-1].pts_seconds - frames[0].pts_seconds == pytest.approx(arrived, abs=0.05)


def test_a_stream_that_falls_silent_ends_after_its_timeout(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "READ_SECONDS", 0.5)
    silent = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        send_motion_jpeg(10, 0)(handler)
        silent.wait(10)

    started = time.monotonic()
    frames, message = frames_until_error(serve(answer))
    silent.set()
    assert len(frames) >= 5
    assert message.startswith("lost http://127.0.0.1")
    assert "nothing came" in message
    assert time.monotonic() - started < 5


def test_a_video_on_a_web_server_is_a_file_of_which_every_frame_counts(
    serve: Callable[[Answer], str], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "video.mp4", [grey(i) for i in range(30)], options={"movflags": "faststart"})

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp4")
        handler.send_header("Content-Length", str(path.stat().st_size))
        handler.end_headers()
        handler.wfile.write(path.read_bytes())

    source = open_source(serve(answer))
    assert not source.is_live
    assert [frame.pts_seconds for frame in source] == pytest.approx([i * 0.04 for i in range(30)])


def test_what_comes_from_one_host_leads_to_no_other(serve: Callable[[Answer], str], tmp_path: Path) -> None:
    content = write_video(tmp_path / "video.ts", [grey(i) for i in range(30)]).read_bytes()
    asked: list[str] = []

    def send(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def elsewhere(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, content)

    target = serve(elsewhere)

    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{target}/part.ts\n#EXT-X-ENDLIST\n".encode()
    for answer in (redirect, lambda handler: send(handler, playlist)):
        address = serve(answer)
        network.open_network(address + "/list.m3u8").close()
        assert asked
        asked.clear()
        with pytest.raises(SourceError, match=r"redirects and playlists are not followed here") as caught:
            network.open_network(address + "/list.m3u8", from_one_host=True)
        assert not asked
        assert "secret" not in str(caught.value)
    with closing(network.open_network(target, from_one_host=True)) as source:
        assert next(iter(source)).image.shape == grey(0).shape
    with closing(network.open_network(serve(send_motion_jpeg(20, 0.01)), from_one_host=True)) as source:
        assert next(iter(source)).image.shape == grey(0).shape


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_on_a_web_server_is_one_frame(serve: Callable[[Answer], str], suffix: str) -> None:
    encoded = cv2.imencode(suffix, grey(100))[1].tobytes()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(encoded)))
        handler.end_headers()
        handler.wfile.write(encoded)

    source = open_source(serve(answer))
    assert not source.is_live
    assert [frame.image[0, 0, 0] for frame in source] == pytest.approx([100], abs=1)


def test_a_live_stream_begins_with_a_key_frame(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = write_video(tmp_path / "stream.ts", [grey(5 * i, (240, 320)) for i in range(40)])
    stop = threading.Event()

    def send() -> None:
        """Send a transport stream again and again, from behind its first key frame."""
        packets = path.read_bytes()[188 * 4 :]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stop.is_set():
                for start in range(0, len(packets), 188 * 7):
                    sender.sendto(packets[start : start + 188 * 7], ("127.0.0.1", port))
                    stop.wait(0.005)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        source = open_source(f"udp://127.0.0.1:{port}")
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
        source.close()
    finally:
        stop.set()
        sender.join()
    assert source.is_live
    assert len(frames) == 10
    assert all(np.ptp(frame.image) < 20 for frame in frames), "a picture without its key frame shows blocks"


class FakeCapture:
    """Stands in for cv2.VideoCapture: cameras 0 and 2 exist and give `left` pictures."""

    left = 5

    def __init__(self, number: int, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        self.is_there = number in (0, 2)
        self.released = False
        self.asked: list[tuple[int, float]] = []

    def is_held(self) -> bool:
        return False

    def set(self, prop: int, value: float) -> bool:
        self.asked.append((prop, value))
        return True

    def grab(self) -> bool:
        self.left -= 1
        return self.is_there and self.left >= 0 and not self.is_held()

    def retrieve(self) -> tuple[bool, Any]:
        time.sleep(0.01)
        bgr = np.zeros((48, 64, 3), np.uint8)
        bgr[..., 0] = 255
        return True, bgr

    def read(self) -> tuple[bool, Any]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, prop: int) -> float:
        return cv2.VideoWriter.fourcc(*"MJPG") if prop == cv2.CAP_PROP_FOURCC else 15.0

    def release(self) -> None:
        self.released = True


def failing_with(error: int) -> Callable[[Path], None]:
    def fail(node: Path) -> None:
        raise OSError(error, os.strerror(error), node)

    return fail


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    for module in (camera, camera_faults):
        monkeypatch.setattr(module, "LINUX_DEVICES", tmp_path)
        monkeypatch.setattr(module, "sys", SimpleNamespace(platform="linux"))
    for number, name in ((0, "Front"), (1, "Metadata"), (2, "Back")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")


@pytest.mark.usefixtures("cameras")
def test_a_camera_gives_rgb_frames_with_their_time_of_arrival_until_it_is_unplugged() -> None:
    source = open_source("0")
    assert (source.is_live, source.frame_hw, source.frame_rate, source.source_id) == (True, (48, 64), 15.0, "camera 0")
    frames: list[Frame] = []
    ages: list[float] = []

    def noted(frame: Frame) -> Frame:
        ages.append(frame.age_seconds())
        return frame

    with pytest.raises(SourceError, match="camera 0 gives no more pictures"):
        frames.extend(map(noted, source))
    assert len(frames) == 4
    assert min(ages) >= 0.01, "they count from before the decoding"
    assert tuple(frames[0].image[0, 0]) == (0, 0, 255)
    assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)


@pytest.mark.usefixtures("cameras")
def test_a_camera_is_asked_for_format_size_and_rate_and_tells_what_it_gives() -> None:
    source = camera.CameraSource(0, SourceSettings(camera_wh=(1280, 720), camera_fps=60, camera_format="MJPG"))
    capture: Any = source._capture
    assert capture.asked == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60),
    ]
    assert source.details == "64x48 MJPG 15 fps"


@pytest.mark.usefixtures("cameras")
def test_a_camera_that_was_unplugged_comes_back() -> None:
    told: list[SourceStatus] = []
    source = find_lasting("0", backoff=Backoff(0.05, 0.05), listener=told.append)()
    assert len(list(islice(source, 10))) == 10
    source.close()
    assert next(status.reason for status in told if status.phase == "waiting") == (
        "it gives no more pictures: was it unplugged?"
    )
    with pytest.raises(SourceError, match="could not open camera 7: no such device"):
        find_lasting("7")()


@pytest.mark.usefixtures("cameras")
def test_a_missing_camera_is_told_with_what_to_do() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("7")
    assert str(caught.value) == (
        "could not open camera 7: no such device. List cameras with: python -m app.webcam --list-cameras"
    )


@pytest.mark.parametrize(
    ("error", "fault", "reason"),
    [
        (errno.EBUSY, Fault.BUSY, "another program holds it"),
        (errno.EACCES, Fault.OTHER, "this user may not read it: add the user to the group 'video'"),
        (errno.EINVAL, Fault.NOT_FOUND, "it gives no pictures"),
    ],
)
@pytest.mark.usefixtures("cameras")
def test_why_a_camera_cannot_be_opened_is_told_by_kind(
    monkeypatch: pytest.MonkeyPatch, error: int, fault: Fault, reason: str
) -> None:
    monkeypatch.setattr(camera_faults, "_ask_for_a_buffer", failing_with(error))
    with pytest.raises(SourceError) as caught:
        open_source("1")
    assert (caught.value.fault, caught.value.reason) == (fault, reason)
    assert str(caught.value).startswith(f"could not open camera 1: {reason}. List cameras")


@pytest.mark.usefixtures("cameras")
def test_a_camera_that_another_program_holds_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[SourceStatus] = []
    held = [True]
    monkeypatch.setattr(camera_faults, "_ask_for_a_buffer", failing_with(errno.EBUSY))
    monkeypatch.setattr(FakeCapture, "is_held", lambda self: held[0])

    def tell(status: SourceStatus) -> None:
        told.append(status)
        if status.phase == "waiting":
            held[0] = False  # the other program lets go of it

    source = find_lasting("0", backoff=Backoff(0.05, 0.05), listener=tell)()
    assert len(list(islice(source, 3))) == 3
    source.close()
    assert [status.phase for status in told][:4] == ["connecting", "waiting", "connecting", "live"]
    assert told[1].reason == "another program holds it"


@pytest.mark.usefixtures("cameras")
def test_a_camera_that_is_missing_at_the_start_is_waited_for_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[SourceStatus] = []
    source = find_lasting("7", backoff=Backoff(0.01, 0.01, tries=1), listener=told.append, waits_for_devices=True)()
    with pytest.raises(SourceError, match="no such device"):
        list(source)
    assert [status.phase for status in told] == ["connecting", "waiting", "connecting", "ended"]


@pytest.mark.usefixtures("cameras")
def test_only_cameras_that_give_pictures_are_listed() -> None:
    found = [(each.number, each.name, each.frame_hw) for each in list_cameras()]
    assert found == [(0, "Front", (48, 64)), (2, "Back", (48, 64))]


def test_opencv_says_nothing_of_a_missing_camera(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError):
        open_source("99")
    assert capfd.readouterr() == ("", "")
