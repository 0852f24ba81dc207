import errno
import json
import math
import os
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.page import connections
from app.page import socket as socket_module
from app.page.choice import Choice
from app.page.jobs import MAX_JOBS_OF_VISIT, Jobs, VideoJob, check_container
from app.page.site import Site
from app.page.status import stream_status
from app.sources.browser import BrowserSource
from app.sources.demo import DemoSource
from app.sources.repeated import RepeatedSource
from app.stream_errors import SourceError
from tests.browser import served
from tests.fake_media import grey, write_picture, write_video
from tests.test_page_sources import jpeg_of
from tests.waiting import wait_until

DEMO = Choice.single("demo", partial(RepeatedSource, DemoSource), "nano")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Site]]:
    with served(tmp_path_factory.mktemp("page"), "--max-upload", "1") as opened:
        yield opened


@pytest.fixture
def site(page: tuple[str, Site]) -> Iterator[Site]:
    yield page[1]
    page[1].engine.stop()


def get(address: str, path: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=60)


def code_of(address: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(address + path, data, headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["detail"]


def port_of(address: str) -> int:
    return int(address.rstrip("/").rsplit(":", 1)[1])


def socket_of(address: str, viewer: str = "anna", **options: Any) -> Any:
    return connect(address.replace("http", "ws") + f"live/socket?viewer={viewer}", open_timeout=60, **options)


def picture(socket: Any) -> bytes:
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, bytes):
            return message


def status(socket: Any, **expected: Any) -> dict[str, Any]:
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, str):
            told = json.loads(message).get("status")
            if told and all(told.get(name) == value for name, value in expected.items()):
                return dict(told)


def test_the_stream_goes_out_as_motion_jpeg(page: tuple[str, Site], site: Site) -> None:
    site.engine.start(DEMO)
    with get(page[0], "live/stream.mjpg") as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        start = answer.read(100_000)
    assert start.startswith(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ")
    assert b"\xff\xd8\xff" in start


def test_without_a_stream_there_is_no_snapshot_and_no_recording(page: tuple[str, Site], tmp_path: Path) -> None:
    assert code_of(page[0], "live/recording.mp4") == (404, "There is no recording yet. Start one first.")


def metrics_of(address: str) -> str:
    with get(address, "metrics") as answer:
        return str(answer.read().decode())


def counted(address: str, name: str) -> float:
    """What a counter says, 0 before its source is open."""
    lines = [line for line in metrics_of(address).splitlines() if line.startswith(f"{name}{{")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_prometheus_finds_the_counters_of_the_stream(page: tuple[str, Site], site: Site) -> None:
    site.engine.start(DEMO)
    with socket_of(page[0]) as socket:
        picture(socket)
        wait_until(lambda: counted(page[0], "solov2_captured_total") >= 1)
        text = metrics_of(page[0])
    assert f'solov2_up{{source="{DEMO.name}"}} 1.0' in text


def test_a_viewer_gets_two_pictures_and_more_only_when_it_asks(page: tuple[str, Site], site: Site) -> None:
    site.engine.start(DEMO)
    with socket_of(page[0]) as socket:
        for _ in range(2):
            pts_seconds, age_ms = struct.unpack_from("<dd", picture(socket))
            assert pts_seconds >= 0
            assert 0 <= age_ms < 60_000
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert isinstance(socket.recv(timeout=60), str)
        socket.send('{"ready": 0}')
        assert picture(socket)[20:22] == b"\xff\xd8"


def test_a_browsers_pictures_become_the_stream(page: tuple[str, Site], site: Site) -> None:
    site.engine.start(Choice.single("camera", partial(BrowserSource, "anna"), "nano"))
    with socket_of(page[0]) as socket, socket_of(page[0], viewer="otto") as other:
        status(socket, camera=True)
        assert "anna" not in json.dumps(status(other, camera=False))  # whose camera it is stays between her and us
        other.send(struct.pack("<d", 1.0) + jpeg_of(1))  # is not asked for its camera
        socket.send(struct.pack("<d", 777_000.0) + jpeg_of(50))
        assert struct.unpack_from("<d", picture(socket))[0] == 777.0
        assert stream_status(site.engine)["stats"]["captured"] == 1
        socket.send('{"camera_problem": "this device has no camera"}')
        assert status(socket, state="failed")["message"] == "this device has no camera"


BAD_MESSAGES: dict[str, str | bytes] = {
    "no JSON": "{",
    "a list": "[]",
    "a number": "7",
    "an unknown wish": '{"do": "format the disk"}',
    "a wish of another type": '{"do": 3}',
    "an unknown name": '{"undo": "stop"}',
    "an empty problem": '{"camera_problem": ""}',
    "an endless problem": '{"camera_problem": "' + "x" * 301 + '"}',
    "not a number": '{"ready": NaN}',
    "true for one": '{"ready": true}',
    "deep": "[" * 1500,
    "deep and wide": '{"do":' * 300 + "1" + "}" * 300,
    "long": '{"do": "stop", "ready": 1' + " " * 2000 + "}",
    "a lone surrogate": '{"do": "\\ud800"}',
    "a source that cannot be": '{"look": 16}',
    "a source before the first": '{"look": -2}',
    "a NUL": "\u0000",
    "too short": b"x",
    "nothing": b"",
    "a clock alone": struct.pack("<d", 1.0),
    "a clock of no number": struct.pack("<d", math.nan) + b"jpeg",
    "an endless clock": struct.pack("<d", math.inf) + b"jpeg",
    "a clock beyond all time": struct.pack("<d", 1e308) + b"jpeg",
    "a clock before time": struct.pack("<d", -1.0) + b"jpeg",
    "a large picture": struct.pack("<d", 1.0) + bytes((8 << 20) + 1),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_whoever_sends_what_no_page_sends_is_disconnected_alone(
    page: tuple[str, Site], site: Site, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket_of(page[0]) as socket, socket_of(page[0], viewer="otto") as other:
        status(socket)
        socket.send(BAD_MESSAGES[name])
        with pytest.raises(ConnectionClosed) as caught:
            status(socket, state="any after that")
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008
        assert status(other)
    assert "Traceback" not in capfd.readouterr().err


def test_whoever_asks_for_more_pictures_than_came_is_disconnected(page: tuple[str, Site], site: Site) -> None:
    def ask_for_five(socket: ClientConnection) -> None:
        for _ in range(5):
            socket.send('{"ready": 0}')
        status(socket, state="any after that")

    with socket_of(page[0]) as socket, pytest.raises(ConnectionClosed):  # while it sends, or while it waits
        ask_for_five(socket)


def test_a_viewer_of_an_impossible_name_is_refused(page: tuple[str, Site], site: Site) -> None:
    for name in ("a" * 65, "a%00b", "a%20b", "%F0%9F%98%BA"):
        with pytest.raises(InvalidStatus), socket_of(page[0], viewer=name):
            pass


def test_only_so_many_may_look(page: tuple[str, Site], site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "MAX_VIEWERS", 1)
    with socket_of(page[0]) as first:
        status(first)
        with socket_of(page[0]) as second, pytest.raises(ConnectionClosed, match="1 are looking already"):
            second.recv(timeout=60)


def test_another_name_of_this_machine_is_refused(page: tuple[str, Site], site: Site) -> None:
    for name in ("evil.example", f"evil.example:{port_of(page[0])}", "localhost.evil.example"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(page[0], "", Host=name)
        with caught.value as answer:
            assert answer.code == 400
        with (
            pytest.raises(InvalidStatus),
            socket_of(page[0], additional_headers={"Host": name}, origin=f"http://{name}"),
        ):
            pass
    for name in ("localhost", f"127.0.0.1:{port_of(page[0])}", f"[::1]:{port_of(page[0])}"):
        with get(page[0], "", Host=name) as answer:
            assert answer.status == 200


def test_another_sites_pages_may_not_connect(page: tuple[str, Site], site: Site) -> None:
    with pytest.raises(InvalidStatus), socket_of(page[0], origin="http://evil.example"):
        pass
    assert code_of(page[0], "picture/segment", b"x", Origin="http://evil.example")[0] == 403
    with socket_of(page[0], origin=page[0].rstrip("/")) as socket:
        assert status(socket)


def test_who_has_not_logged_in_sees_nothing(tmp_path: Path) -> None:
    with served(tmp_path, "--login", "anna:word") as (address, _):
        for path in ("live/stream.mjpg", "live/snapshot.png", "live/recording.mp4", "video/x/original"):
            assert code_of(address, path)[0] == 401
        with pytest.raises(InvalidStatus), socket_of(address):
            pass
        form = urllib.parse.urlencode({"username": "anna", "password": "word"}).encode()
        with urllib.request.urlopen(f"{address}login", form, timeout=60) as answer:
            cookies = [line.split(";")[0] for line in answer.headers.get_all("set-cookie")]
        cookie = "; ".join(cookies)
        with socket_of(address, additional_headers={"Cookie": cookie}) as socket:
            assert status(socket, state="idle")
        assert "SameSite=none" in answer.headers["set-cookie"]  # so that browsers send it with any site's requests
        assert code_of(address, "live/snapshot.png", Cookie=cookie, Origin="https://evil.example")[0] == 403
        assert code_of(address, "live/snapshot.png", Cookie=cookie)[0] == 404  # there is none yet
        guess = urllib.parse.urlencode({"username": "anna", "password": "guess"}).encode()
        codes = [code_of(address, "login", guess)[0] for _ in range(6)]
        assert codes == [400] * 5 + [429]
        assert code_of(address, "login", form)[1].startswith("Too many wrong passwords. Try again in ")


def test_a_connection_that_sends_no_request_is_closed(
    page: tuple[str, Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    for start in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
        with create_connection(("127.0.0.1", port_of(page[0])), timeout=60) as connection:
            connection.sendall(start)
            assert connection.recv(100) == b""


def test_what_is_not_a_picture_or_too_large_is_refused(page: tuple[str, Site], site: Site) -> None:
    assert code_of(page[0], "picture/segment", b"no picture")[1].startswith("This is not a picture ")
    assert code_of(page[0], "picture/segment", bytes(2 << 20)) == (413, "The file is larger than 1 MB.")
    assert code_of(page[0], "picture/segment?model=/etc/passwd", b"x")[1] == "This page does not offer that model."


def test_nobody_reaches_other_files_of_a_job(page: tuple[str, Site], site: Site, tmp_path: Path) -> None:
    (job,) = site.jobs.add("visit", [write_video(tmp_path / "clip.mp4", [grey(1)])])
    with get(page[0], f"video/{job.token}/original", Range="bytes=0-9") as answer:
        assert (answer.status, len(answer.read())) == (206, 10)
    for path in (f"video/{job.token}/..%2foriginal", f"video/{job.token}/nothing", "video/guess/original"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(page[0], path)
        caught.value.close()
        assert caught.value.code == 404
    site.jobs.remove("visit")
    assert not job.folder.exists()


def test_the_same_file_may_be_dropped_by_two_visitors_and_twice_by_one(tmp_path: Path) -> None:
    """Gradio gives the same path to everybody who drops the same file."""
    upload = write_video(tmp_path / "clip.mp4", [grey(1)])
    whole, jobs = upload.read_bytes(), Jobs(tmp_path / "videos")
    taken = [*jobs.add("anna", [upload, upload]), *jobs.add("otto", [upload])]
    assert [job.original.read_bytes() for job in taken] == [whole] * 3
    jobs.remove("anna")
    assert taken[2].original.read_bytes() == upload.read_bytes() == whole


def test_a_file_is_copied_where_links_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", fail)
    upload = write_video(tmp_path / "clip.mp4", [grey(1)])
    assert VideoJob.take(upload, tmp_path / "jobs").original.read_bytes() == upload.read_bytes()


def test_a_file_that_was_removed_meanwhile_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4 could not be taken .*: drop it again"):
        VideoJob.take(tmp_path / "gone.mp4", tmp_path / "jobs")
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_visit_and_a_page_keep_only_so_many_videos(tmp_path: Path) -> None:
    upload = write_video(tmp_path / "clip.mp4", [grey(1)])
    jobs = Jobs(tmp_path / "videos")
    with pytest.raises(SourceError, match="one visit may annotate 20 videos"):
        jobs.add("anna", [upload] * 30)
    assert len(jobs.of("anna")) == MAX_JOBS_OF_VISIT
    for number in range(4):
        jobs.add(str(number), [upload] * 20)
    with pytest.raises(SourceError, match="keeps 100 videos at a time"):
        jobs.add("otto", [upload])
    jobs.remove("anna")
    assert len(jobs.add("otto", [upload])) == 1


@pytest.mark.parametrize("name", ["a\0b.mp4", "a" * 5000 + ".mp4", "../../x.mp4", "\ud800.mp4", ""])
def test_a_name_that_no_file_can_have_is_no_fault_of_the_server(
    page: tuple[str, Site], site: Site, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode("utf-8", "surrogatepass") + b"data\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{page[0]}gradio_api/upload", body, headers)
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        assert answer.status in (200, 400, 413)
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_that_would_open_other_files_is_not_a_video(tmp_path: Path) -> None:
    check_container(write_video(tmp_path / "clip.mp4", [grey(1)]))
    for name, text in {
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n",
        "concat": "ffconcat version 1.0\nfile /etc/hostname\n",
    }.items():
        trick = tmp_path / f"{name}.mp4"
        trick.write_text(text)
        with pytest.raises(Exception, match="this is not a video"):
            check_container(trick)
    with pytest.raises(Exception, match="this is not a video"):
        check_container(write_picture(tmp_path / "still.png", grey(1)))


def test_a_cancelled_job_leaves_only_its_original(tmp_path: Path) -> None:
    job = VideoJob.take(write_video(tmp_path / "clip.mp4", [grey(1)]), tmp_path / "jobs")
    job.cancelled.set()
    assert list(job.run(None, "nano", "auto", None)) == []  # type: ignore[arg-type]
    assert job.state == "cancelled"
    assert list(job.folder.iterdir()) == [job.original]
