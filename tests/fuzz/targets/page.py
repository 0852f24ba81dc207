"""What visitors of the page and their browsers send: addresses, names of hosts and origins, messages on the socket."""

import json

from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.datastructures import Headers

from app.page.access import Access
from app.page.origin import PageNames
from app.page.socket import MAX_TEXT, Wish
from app.sources.address import redact
from tests.fuzz.target import Target

PATTERNS = ("10.0.0.?", "*.cams.example")
SECRET = "se-cret"

_PARTS = st.sampled_from(
    ["rtsp", "http", "://", ":", "/", "@", "?", "#", "&", "=", "[", "]", "\\", "%40", ".", "10.0.0.7"]
)
_TEXTS = st.lists(_PARTS | st.text(max_size=5), max_size=12).map("".join)
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
        wish = Wish.model_validate_json(text[:MAX_TEXT])
    except ValidationError:
        return
    assert wish.camera_problem is None or 0 < len(wish.camera_problem) <= 300
    assert wish.ready in (None, 1)


TARGETS = (
    Target("address", "addresses", _TEXTS, check_address, known=("http://evil.example\\@10.0.0.7/",)),
    Target("redaction", "addresses", _PASSWORDS, check_redaction, known=(("12/", ""), ("", "@x"))),
    Target("origin", "page", st.tuples(_TEXTS, _TEXTS), check_origin, known=(("127.0.0.1", "null"),)),
    Target(
        "message", "page", _JSON.map(json.dumps) | st.text(), read_wish, known=('{"camera_problem": ""}', "[" * 1500)
    ),
)
