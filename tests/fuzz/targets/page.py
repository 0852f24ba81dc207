"""What visitors of the page and their browsers send: addresses, paths, cameras, hosts, origins, messages."""

import json
import os
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.datastructures import Headers

from app.page.access import Access
from app.page.origin import PageNames
from app.page.socket import MAX_TEXT, ClientMessage
from app.sources.address import redact
from app.stream_errors import SourceError
from tests.fuzz.target import Target

PATTERNS = ("10.0.0.?", "*.cams.example")
SECRET = "se-cret"

_PARTS = st.sampled_from(
    ["rtsp", "http", "://", ":", "/", "@", "?", "#", "&", "=", "[", "]", "\\", "%40", ".", "10.0.0.7"]
)
_TEXTS = st.lists(_PARTS | st.text(max_size=5), max_size=12).map("".join)
_NAMES = st.sampled_from(["ROOT", "open", "inner", "a.mp4", "b.mp4", "out.mp4", "up", "secret.mp4", "open-too.mp4"])
_PATHS = st.lists(_NAMES | st.sampled_from(["..", ".", "", "~", "%2e%2e", "proc", "self", "cwd"]) | st.text(max_size=3))
_PASSWORDS = st.tuples(_TEXTS, _TEXTS)
_WISHES = st.sampled_from(["ready", "do", "camera_problem", ""])
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ready", "do", "camera_problem", ""]), inner)
    ),
)
_MESSAGES = _JSON.map(json.dumps) | st.text()


def check_address(text: str) -> None:
    """Ask for an address; what is allowed has an allowed host, by the reading of a plain parser too."""
    address = Access(addresses=PATTERNS).check_address(text)
    authority = address.split("://", 1)[1].split("/")[0].split("?")[0].split("#")[0]
    host = authority.rpartition("@")[2].split(":")[0].lower()
    assert host.startswith("10.0.0.") or host.endswith(".cams.example"), address


@cache
def _folders() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that is open to visitors, beside files that are not; it lasts as long as the process."""
    kept = tempfile.TemporaryDirectory()
    root = Path(kept.name)
    (root / "open/inner").mkdir(parents=True)
    for name in ("open/a.mp4", "open/inner/b.mp4", "secret.mp4", "open-too.mp4"):
        (root / name).touch()
    (root / "open/out.mp4").symlink_to(root / "secret.mp4")
    (root / "open/up").symlink_to(root)
    return kept


def check_file(parts: list[str]) -> None:
    """Ask for a file; what is allowed lies in the open folder, after all links."""
    root = os.path.realpath(_folders().name)
    found = Access((Path(root) / "open",)).check_file("/".join(parts).replace("ROOT", root))
    assert found in (f"{root}/open/a.mp4", f"{root}/open/inner/b.mp4"), found


def check_camera(text: str) -> None:
    """Ask for a camera, which is a number and nothing else."""
    assert str(Access(cameras=True).check_camera(text)) == (text.lstrip("0") or "0")
    with pytest.raises(SourceError):
        Access().check_camera(text)


def check_redaction(parts: tuple[str, str]) -> None:
    """Show an address with a password before its last `@`, in its path or in its query."""
    before, after = parts
    for address in (f"rtsp://user:{before}{SECRET}{after}@host/x", f"http://host/{before}{SECRET}{after}"):
        assert SECRET not in redact(address), redact(address)


def check_origin(parts: tuple[str, str]) -> None:
    """Ask for the page by a name, from an origin; a foreign name or origin is never let in."""
    host, origin = (part.encode("utf-8", "replace") for part in parts)
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "headers": [(b"host", host), (b"origin", origin)],
    }
    refusal = PageNames("127.0.0.1").refusal(scope, Headers(scope=scope))
    assert refusal is not None or origin.decode().strip().lower().removeprefix("http://").startswith(
        ("localhost", "127.", "[::1]")
    )


def read_wish(text: str) -> None:
    """Read a message of a browser as the socket does."""
    try:
        wish = ClientMessage.model_validate_json(text[:MAX_TEXT])
    except ValidationError:
        return
    assert wish.camera_problem is None or 0 < len(wish.camera_problem) <= 300
    assert wish.ready in (None, 1)


TARGETS = (
    Target("address", "addresses", _TEXTS, check_address, known=("http://evil.example\\@10.0.0.7/",)),
    Target("file", "addresses", _PATHS, check_file, known=(["ROOT", "open", "out.mp4"], ["a\0b"], ["x" * 5000])),
    Target("camera", "addresses", st.text(max_size=4) | st.from_regex("[0-9]+"), check_camera, known=("20240101", "٣")),
    Target("redaction", "addresses", _PASSWORDS, check_redaction, known=(("12/", ""), ("", "@x"))),
    Target("origin", "page", st.tuples(_TEXTS, _TEXTS), check_origin, known=(("127.0.0.1", "null"),)),
    Target(
        "message", "page", _JSON.map(json.dumps) | st.text(), read_wish, known=('{"camera_problem": ""}', "[" * 1500)
    ),
)
