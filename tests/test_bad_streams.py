"""What a user is told of servers that do not answer as they should."""

import re
from pathlib import Path

import av
import pytest

from app.sources import live, network, open_source
from app.stream_errors import Fault, SourceError
from tests.bad_servers import Behaviour, answer, hang_up, serving, show_page, stay_silent
from tests.fake_media import grey, write_video

RTSP = "RTSP/1.0"


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "OPEN_SECONDS", 1.0)
    monkeypatch.setattr(live, "READ_SECONDS", 1.0)


def error_of(scheme: str, behave: Behaviour) -> SourceError:
    with serving(behave) as port, pytest.raises(SourceError) as caught:
        open_source(f"{scheme}://me:secret@127.0.0.1:{port}/live")
    assert str(caught.value) == f"could not open {scheme}://127.0.0.1:{port}/…: {caught.value.reason}"
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "behave", "fault", "reason"),
    [
        ("rtsp", stay_silent, Fault.TIMED_OUT, "nothing came for 1 s"),
        ("http", stay_silent, Fault.TIMED_OUT, "nothing came for 1 s"),
        ("rtmp", stay_silent, Fault.TIMED_OUT, "nothing came for 1 s"),
        ("rtsp", hang_up, Fault.LOST, "the server closed the connection"),
        ("http", hang_up, Fault.LOST, "the server closed the connection"),
        ("rtsp", show_page, Fault.NOT_VIDEO, "the server does not answer as an RTSP server does (a web page?)"),
        ("http", show_page, Fault.NOT_VIDEO, "what the server sends is not a video (a web page?)"),
        ("rtmp", show_page, Fault.OTHER, "the server does not answer as 'rtmp' demands"),
        (
            "rtsp",
            answer("401 Unauthorized", protocol=RTSP),
            Fault.AUTHENTICATION,
            "wrong or missing user name or password (401 Unauthorized)",
        ),
        ("http", answer("403 Forbidden"), Fault.AUTHENTICATION, "access denied (403 Forbidden)"),
        (
            "rtsp",
            answer("404 Not Found", protocol=RTSP),
            Fault.NOT_FOUND,
            "the server has no such stream (404 Not Found)",
        ),
        ("rtsp", answer("500 Oops", protocol=RTSP), Fault.OTHER, "the server reports an error of its own (5xx)"),
        ("http", answer("418 Teapot"), Fault.OTHER, "the server refuses the request (4xx)"),
    ],
)
def test_each_bad_answer_has_its_kind_and_its_words(scheme: str, behave: Behaviour, fault: Fault, reason: str) -> None:
    error = error_of(scheme, behave)
    assert (error.fault, error.reason) == (fault, reason)


@pytest.mark.parametrize(
    ("address", "fault", "reason"),
    [
        ("rtsp://me:secret@no-such-host.invalid/live", Fault.UNKNOWN_HOST, "unknown host"),
        ("rtsp://me:secret@127.0.0.1:9/live", Fault.REFUSED, "connection refused"),
        ("rtsp://me:secret@127.0.0.1:99999/live", Fault.UNSUPPORTED, "it is not a valid address"),
        ("strange://me:secret@127.0.0.1/live", Fault.UNSUPPORTED, "this build of FFmpeg has no protocol 'strange'"),
    ],
)
def test_an_address_that_leads_nowhere_has_its_kind(address: str, fault: Fault, reason: str) -> None:
    with pytest.raises(SourceError, match=re.escape(reason)) as caught:
        open_source(address)
    assert caught.value.fault is fault
    assert "secret" not in str(caught.value)


def test_only_what_time_cannot_mend_is_permanent() -> None:
    assert [fault.name for fault in Fault if fault.is_permanent] == ["AUTHENTICATION", "NOT_VIDEO", "UNSUPPORTED"]


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    return write_video(tmp_path / "video.mkv", [grey(i) for i in range(30)]).read_bytes()


def test_a_codec_that_is_not_built_in_is_told(video: bytes) -> None:
    assert b"V_MPEG4/ISO/AVC" in video
    unknown = video.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")
    with serving(answer("200 OK", "video/x-matroska", unknown)) as port, pytest.raises(SourceError) as caught:
        open_source(f"http://127.0.0.1:{port}/video.mkv")
    assert caught.value.fault is Fault.UNSUPPORTED
    assert "this build of FFmpeg has no decoder for its codec" in str(caught.value)


def test_a_stream_without_video_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sound.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for index in range(50):
            sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            sound.planes[0].update(bytes(sound.planes[0].buffer_size))
            sound.sample_rate, sound.pts = 48000, 1024 * index
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with serving(answer("200 OK", "video/mp2t", path.read_bytes())) as port, pytest.raises(SourceError) as caught:
        network.open_network(f"http://127.0.0.1:{port}/live")
    assert "video" in str(caught.value)
    assert caught.value.fault is Fault.NOT_VIDEO
