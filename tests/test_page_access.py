import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.page import source_fields
from app.page.access import Access
from app.page.origin import is_loopback
from app.page.server_options import (
    LOGIN_VARIABLE,
    access_of,
    build_parser,
    check_listening,
    login_of,
    models_of,
)
from app.page.site import Site
from app.page.source_fields import ADDRESS, CAMERA, FILE, SourceRequest, file_choices, find_single, kinds_of
from app.sources.camera import Camera
from app.sources.network import open_network
from app.stream_errors import AppError, SourceError
from tests.fake_media import grey, write_picture


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_picture(folder / "one.png", grey(1))
    (folder / "notes.txt").write_text("not listed")
    (tmp_path / "outside.png").write_bytes(b"")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    return folder


def test_files_of_the_open_folders_are_listed_and_may_be_streamed(clips: Path) -> None:
    access = Access((clips,))
    assert str(clips / "one.png") in access.files()
    assert not any("notes" in name for name in access.files())
    assert access.check_file(str(clips / "one.png")) == str(clips / "one.png")
    assert access.check_file(str(clips / ".." / "clips" / "one.png")) == str(clips / "one.png")


@pytest.mark.parametrize("name", ["../outside.png", "link.png", "../clips2/x.png", "missing.png", "/etc/passwd"])
def test_what_lies_outside_or_is_missing_is_refused_alike(clips: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file in the folders open to this page"):
        Access((clips,)).check_file(str(clips / name))


def test_a_folder_is_no_file_as_its_links_may_lead_anywhere(clips: Path) -> None:
    for name in ("", ".", "inner"):
        (clips / "inner").mkdir(exist_ok=True)
        with pytest.raises(SourceError, match="no such file"):
            Access((clips,)).check_file(str(clips / name))


def test_a_name_that_no_file_can_have_is_refused_like_any_other(clips: Path) -> None:
    for name in ("a\0b", "a" * 5000, "/".join("a" * 5000), "a\nb", "\ud800"):
        with pytest.raises(SourceError, match=r"no such file .*: that name"):
            Access((clips,)).check_file(str(clips / name))


def test_a_number_never_names_a_folder_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "20240101").mkdir()
    write_picture(tmp_path / "20240101" / "secret.png", grey(1))
    site = cast(Site, SimpleNamespace(access=Access(cameras=True)))
    with pytest.raises(SourceError, match="a camera is a number such as 0"):
        find_single(site, SourceRequest(CAMERA, camera="20240101"))


def test_a_playlist_of_an_open_folder_opens_no_other_file(clips: Path) -> None:
    (clips / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    site = cast(Site, SimpleNamespace(access=Access((clips,))))
    _, opens = find_single(site, SourceRequest(FILE, file=str(clips / "list.mp4")))
    with pytest.raises(SourceError, match="this is not a video that can be read"):
        opens()


def test_without_an_open_folder_no_file_may_be_streamed() -> None:
    assert Access().files() == []
    for text in ("", "/etc/passwd", "."):
        with pytest.raises(SourceError, match="adds one with --folder"):
            Access().check_file(text)


def test_an_address_may_be_reached_if_its_host_fits_a_pattern() -> None:
    access = Access(addresses=("10.0.0.*", "Camera.local"))
    for address in ("rtsp://user:word@10.0.0.7:554/live", " http://CAMERA.local/video "):
        assert access.check_address(address) == address.strip()
    for address in ("http://10.0.0.x.evil.example/", "http://10.0.0.com/", "http://10.0.0.7.8/"):
        with pytest.raises(SourceError, match="may not reach"):
            access.check_address(address)
    own = Access(addresses=("*.example.org", "fd00::*"))
    assert own.check_address("http://cam1.example.org/x")
    assert own.check_address("rtsp://[fd00::1]/x")
    for address in ("http://example.org/", "http://a.b.example.org/", "http://cam1.example.org.evil.example/"):
        with pytest.raises(SourceError, match="may not reach"):
            own.check_address(address)
    anywhere = Access(addresses=("*",))
    assert anywhere.check_address("rtsp://anywhere/x") == "rtsp://anywhere/x"
    assert anywhere.reaches_all_addresses
    assert not access.reaches_all_addresses


def test_an_address_leads_elsewhere_only_where_all_may_be_reached() -> None:
    for addresses, stays in (("10.0.0.7",), True), (("*",), False):
        site = cast(Site, SimpleNamespace(access=Access(addresses=addresses)))
        name, opens = find_single(site, SourceRequest(ADDRESS, address=" rtsp://me:secret@10.0.0.7/live "))
        assert name == "rtsp://10.0.0.7/…"
        assert isinstance(opens, partial)
        assert opens.func is open_network
        assert (opens.args, opens.keywords) == (("rtsp://me:secret@10.0.0.7/live",), {"from_one_host": stays})


PATTERNS = ("10.0.0.?", "192.168.*.*", "*.cams.example", "gate.example", "fd00::1")
ALLOWED_HOSTS = ["10.0.0.7", "192.168.3.4", "a.cams.example", "GATE.example", "[fd00::1]"]
REFUSED_HOSTS = [
    "10.0.0.17",
    "10.0.1.7",
    "010.0.0.7",
    "10.0.0.7.evil.example",
    "10.0.0.a",
    "10.0.7",
    "0x0a000007",
    "167772167",
    "192.168.3",
    "192.168.3.4.5",
    "192.168.a.b",
    "cams.example",
    "a.b.cams.example",
    "a.cams.example.evil.example",
    "acams.example",
    "gate.example.evil.example",
    "xgate.example",
    "gate.example.",
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "[::1]",
    "[::ffff:10.0.0.7]",
    "[fd00::2]",
    "169.254.169.254",
]
FORMS = [
    "{}",
    "{}:554",
    "{}/live",
    "{}/live?size=1#top",
    "user:word@{}/live",
    "10.0.0.7@{}",
    "gate.example:80@{}:81",
    "a%40b@{}",
]
SCHEMES = ("rtsp", "http")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_host_is_judged_whatever_stands_around_it(form: str, scheme: str) -> None:
    access = Access(addresses=PATTERNS)
    for host in ALLOWED_HOSTS:
        address = f"{scheme}://{form.format(host)}"
        assert access.check_address(address) == address
    for host in REFUSED_HOSTS:
        with pytest.raises(SourceError, match=r"may not reach|an address looks like"):
            access.check_address(f"{scheme}://{form.format(host)}")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7",
        "//10.0.0.7/",
        "rtsp:10.0.0.7",
        "rtsp:/10.0.0.7",
        "rtsp:///10.0.0.7",
        "ftp://10.0.0.7/",
        "file://10.0.0.7/etc/passwd",
        "concat:rtsp://10.0.0.7|file:///etc/passwd",
        "cache:http://10.0.0.7/",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "crypto+http://10.0.0.7/",
        "hls+http://10.0.0.7/",
        "tee:http://10.0.0.7/",
        "async:http://10.0.0.7/",
        "pipe:0",
        "data:text/plain,x",
        "unix:/run/docker.sock",
        "gopher://10.0.0.7/",
        "smb://10.0.0.7/x",
        "ipfs://10.0.0.7/",
        "lavfi://10.0.0.7",
        "http://evil.example\\@10.0.0.7/",
        "http://10.0.0.7\\.evil.example/",
        "http://evil.example#@10.0.0.7/",
        "http://evil.example?@10.0.0.7/",
        "http://evil.example/@10.0.0.7/",
        "http://10.0.0.7 .evil.example/",
        "http://10.0.0.7\t.evil.example/",
        "http://10.0.0.7\n/",
        "http://10.0.0.7\0.evil.example/",
        "http://10.0.0.7,evil.example/",
        "http://10.0.0.7%2eevil.example/",
        "http://\uff11\uff10.0.0.7/",
        "http://10\u30020.0.7/",
        "http://[10.0.0.7]/",
        "http://[fd00::1/",
        "http://[fd00::1]evil.example/",
        "http://10.0.0.7/" + "a" * 3000,
        "http://:80/",
        "http://@/",
    ],
)
def test_a_trick_with_an_address_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match=r"may not reach|an address "):
        Access(addresses=PATTERNS).check_address(address)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("rtsp://10.0.1.7/live", "may not reach 10.0.1.7"),
        ("http://10.0.0.7@evil.example/", "may not reach evil.example"),
        ("http://10.0.0.7.evil.example/", "may not reach 10.0.0.7.evil.example"),
        ("file:///etc/passwd", "an address looks like"),
        ("concat:a|b", "an address looks like"),
        ("/etc/passwd", "an address looks like"),
        ("http://", "an address looks like"),
        ("http://[::1", "an address looks like"),
        ("", "got nothing"),
    ],
)
def test_any_other_address_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        Access(addresses=("10.0.0.?",)).check_address(address)


def test_a_refused_address_is_shown_without_its_password() -> None:
    with pytest.raises(SourceError) as caught:
        Access().check_address("gopher://user:secret@host/")
    assert "secret" not in str(caught.value)


def test_cameras_are_opened_only_where_that_is_allowed() -> None:
    assert Access(cameras=True).check_camera("0") == 0
    with pytest.raises(SourceError, match="--cameras"):
        Access().check_camera("0")
    for text in ("/dev/video0", "20240101", "0x1", "-1", "+1", " 1", "1.0", "\u0663", "\u00b2", "1\n", "0000", "demo"):
        with pytest.raises(SourceError, match="a number such as 0"):
            Access(cameras=True).check_camera(text)
    with pytest.raises(SourceError, match="no camera was found on the server"):
        Access(cameras=True).check_camera("")


def test_alone_on_this_machine_everything_is_open_and_elsewhere_nothing() -> None:
    alone = access_of(build_parser().parse_args([]))
    assert (alone.folders, alone.addresses, alone.cameras) == ((Path.cwd(),), ("*",), True)
    for options in (["--host", "0.0.0.0"], ["--share"], ["--public-host", "cats.example"], ["--behind-proxy"]):
        assert access_of(build_parser().parse_args(options)) == Access()


def test_what_is_named_replaces_what_would_be_open(clips: Path) -> None:
    options = build_parser().parse_args(["--folder", str(clips), "--allow-address", "10.0.0.7"])
    assert access_of(options) == Access((clips,), ("10.0.0.7",), True)
    with pytest.raises(AppError, match="--folder must be a folder, got nowhere"):
        access_of(build_parser().parse_args(["--folder", "nowhere"]))


def test_an_address_that_cannot_be_listened_on_is_told_in_one_line() -> None:
    parse = build_parser().parse_args
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(AppError, match=rf"^could not listen on 127\.0\.0\.1:{number}: Address already in use\."):
            check_listening(parse(["--port", str(number)]))
    check_listening(parse(["--port", str(number)]))
    with pytest.raises(AppError, match=r"could not listen on 192\.0\.2\.1: Cannot assign"):
        check_listening(parse(["--host", "192.0.2.1"]))


@pytest.mark.parametrize(
    "options", [["--port", "70000"], ["--port", "x"], ["--max-upload", "-3"], ["--max-upload", "0"]]
)
def test_numbers_out_of_range_are_refused_in_one_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(options)
    assert capsys.readouterr().err.startswith(f"error: argument {options[0]}: must be a whole number")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_login_comes_from_the_option_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = build_parser().parse_args
    assert login_of(parse([])) is None
    assert login_of(parse(["--login", "anna:with:colon"])) == ("anna", "with:colon")
    monkeypatch.setenv(LOGIN_VARIABLE, "otto:word")
    assert login_of(parse([])) == ("otto", "word")
    with pytest.raises(AppError) as caught:
        login_of(parse(["--login", "secretword"]))
    assert "secretword" not in str(caught.value)


def test_only_models_that_exist_are_offered() -> None:
    assert models_of(build_parser().parse_args(["--model", "nano"])).names == ("nano",)
    with pytest.raises(AppError, match="no model 'nanno'"):
        models_of(build_parser().parse_args(["--model", "nanno"]))


def test_only_the_kinds_of_sources_that_there_are_are_offered(monkeypatch: pytest.MonkeyPatch, clips: Path) -> None:
    cameras: list[Camera] = []
    monkeypatch.setattr(source_fields, "list_cameras", lambda: cameras)
    closed = cast(Site, SimpleNamespace(access=Access(), own=()))
    assert [kind for _, kind in kinds_of(closed)] == ["demo", "browser"]
    opened = cast(Site, SimpleNamespace(access=Access((clips,), ("*",), cameras=True), own=("hall",)))
    assert [kind for _, kind in kinds_of(opened)] == ["own", "demo", "browser", "address", "file"]
    cameras.append(Camera(0, "built in", (480, 640)))
    assert [kind for _, kind in kinds_of(opened)][-1] == "camera"
    assert file_choices([str(clips / "one.png")]) == [(f"one.png · {clips}", str(clips / "one.png"))]
