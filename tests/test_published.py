"""Fetching weights: a loopback server that resumes, breaks off, lies and stalls."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from solov2.checkpoints import published
from solov2.errors import DownloadError, UnknownNameError
from solov2.variants import VARIANTS

CONTENT = bytes(range(256)) * 4096  # 1 MiB
FILE_NAME = f"solov2_tiny_20260101_000000-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    status: int = 200
    break_after: int | None = None
    supports_ranges: bool = True
    stalls: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        behaviour, asked = self.behaviour, self.headers["Range"]
        behaviour.requests.append((self.path, asked))
        if behaviour.stalls:
            behaviour.released.wait(10)
            return
        if behaviour.status != 200:
            self.send_error(behaviour.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and behaviour.supports_ranges else 0
        if start >= len(behaviour.content):
            self.send_error(416)
            return
        body = behaviour.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            total = len(behaviour.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body[: behaviour.break_after])

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in which light-r18 is the small file that the server has."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOLOV2_CACHE", str(folder))
    monkeypatch.setitem(VARIANTS, "light-r18", replace(VARIANTS["light-r18"], weights_file=FILE_NAME))
    return folder


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    behaviour = Behaviour()
    handler = type("BehavingHandler", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        monkeypatch.setenv("SOLOV2_ZOO_URL", f"http://127.0.0.1:{http.server_port}/mirror/")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield behaviour
        behaviour.released.set()
        http.shutdown()
        thread.join()


def test_every_published_file_has_an_address_and_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOLOV2_ZOO_URL", raising=False)
    files = {name: published.published_weights(name) for name in VARIANTS}
    assert [name for name, weights in files.items() if weights is None] == ["nano", "light-r50-dcn"]
    r50 = files["r50"]
    assert r50 is not None
    assert r50.sha256_start == "fed092d4"
    assert r50.url == (
        "https://download.openmmlab.com/mmdetection/v2.0/solov2/solov2_r50_fpn_3x_coco/"
        "solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth"
    )


def test_weights_are_downloaded_once_with_progress(
    server: Behaviour, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = published.weights_path("light-r18")
    assert path == cache / FILE_NAME
    assert path.read_bytes() == CONTENT
    progress = capsys.readouterr().err
    assert FILE_NAME in progress
    assert "100%" in progress
    assert published.weights_path("light-r18") == path
    assert server.requests == [(f"/mirror/solov2_tiny/{FILE_NAME}", None)]
    assert not list(cache.glob("*.part"))


def test_a_broken_download_continues_where_it_stopped(server: Behaviour, cache: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError, match=f"ended after 300000 of {len(CONTENT)} bytes"):
        published.weights_path("light-r18")
    assert not (cache / FILE_NAME).exists()
    server.break_after = None
    assert published.weights_path("light-r18").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-"]


def test_a_server_that_cannot_continue_sends_everything_again(server: Behaviour, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{FILE_NAME}.part").write_bytes(CONTENT[:1000])
    server.supports_ranges = False
    assert published.weights_path("light-r18").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_started_again(server: Behaviour, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{FILE_NAME}.part").write_bytes(CONTENT + b"more")
    assert published.weights_path("light-r18").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [f"bytes={len(CONTENT) + 4}-", None]


def test_another_file_than_the_published_one_is_thrown_away(server: Behaviour, cache: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match="SHA-256 does not start with"):
        published.weights_path("light-r18")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_missing_file_tells_what_to_put_where(server: Behaviour, cache: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError) as caught:
        published.weights_path("light-r18")
    message = str(caught.value)
    assert "the server answered 404 Not Found" in message
    assert f'curl -L -o "{cache / FILE_NAME}" "http://127.0.0.1:' in message
    assert "\n" not in message


def test_no_server_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        monkeypatch.setenv("SOLOV2_ZOO_URL", f"http://127.0.0.1:{closed.server_port}")
    with pytest.raises(DownloadError, match="refused"):
        published.weights_path("light-r18")


def test_an_address_that_is_none_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOV2_ZOO_URL", "mirror")
    with pytest.raises(DownloadError, match="unknown url type"):
        published.weights_path("light-r18")


def test_a_silent_server_does_not_hang(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "TIMEOUT_SECONDS", 0.1)
    server.stalls = True
    with pytest.raises(DownloadError, match=r"nothing arrived for 0\.1 s"):
        published.weights_path("light-r18")


def test_a_full_disk_is_one_line(server: Behaviour, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{FILE_NAME}.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left on device"):
        published.weights_path("light-r18")


def test_a_cache_that_cannot_be_made_is_one_line(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SOLOV2_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="Not a directory"):
        published.weights_path("light-r18")


def test_several_threads_share_one_download(server: Behaviour, cache: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(published.weights_path("light-r18"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / FILE_NAME] * 4
    assert len(server.requests) == 1


def test_a_file_put_there_by_hand_is_hashed_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    real = published.sha256_of

    def counted(path: Path) -> str:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(published, "sha256_of", counted)
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    for _ in range(3):
        assert published.weights_path("light-r18") == cache / FILE_NAME
    assert hashed == [cache / FILE_NAME]


def test_a_wrong_file_put_there_by_hand_is_refused_and_kept(cache: Path) -> None:
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(b"mine")
    with pytest.raises(DownloadError, match="is not the published file"):
        published.weights_path("light-r18")
    assert (cache / FILE_NAME).read_bytes() == b"mine"


def test_variants_without_published_weights_say_so() -> None:
    assert published.weights_path("nano").name == "nano.safetensors"
    with pytest.raises(DownloadError, match="no weights were published for light-r50-dcn"):
        published.weights_path("light-r50-dcn")
    with pytest.raises(UnknownNameError, match="Did you mean 'light-r18'"):
        published.weights_path("light-r19")
