"""Who may use the page: every request passes one guard, whatever route it asks for."""

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers

from app.page.guard import ADDED_HEADERS, Guard
from app.page.origin import PageNames, split_host

HERE, ANYWHERE = PageNames("127.0.0.1"), PageNames("0.0.0.0", frozenset({"cats.example", "dogs.example:8443"}))
OWN = "http://127.0.0.1:7860"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def scope_of(path: str = "/live/snapshot.png", kind: str = "http", **headers: str) -> dict[str, Any]:
    given = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scheme = {"http": "http", "websocket": "ws"}[kind]
    return {
        "type": kind,
        "method": "GET",
        "scheme": scheme,
        "path": path,
        "client": ("127.0.0.1", 1234),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }


def code_of(names: PageNames = HERE, method: str = "GET", scope: dict[str, Any] | None = None, **headers: str) -> int:
    asked = (scope or scope_of(**headers)) | {"method": method}
    refusal = names.refusal(asked, Headers(scope=asked))
    return refusal.code if refusal is not None else 200


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "127.8.8.8"])
def test_this_machine_may_call_the_page_by_its_own_names(host: str) -> None:
    assert code_of(host=host) == code_of(ANYWHERE, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "cats.example.evil.example",
        "localhost:x",
        "localhost:99999",
        "localhost:7860:7860",
        "[::1",
        "[cats]",
        "2130706433",
        "",
        " ",
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    assert code_of(host=host) == code_of(ANYWHERE, host=host) == 400


def test_addresses_in_numbers_and_public_names_are_answered_to_where_other_machines_may_come() -> None:
    for host in ("192.168.1.5:7860", "[fd00::1]:7860", "cats.example", "cats.example:9", "Dogs.Example:8443"):
        assert code_of(ANYWHERE, host=host) == 200
        assert code_of(HERE, host=host) == 400
    assert code_of(PageNames("cam.lan"), host="cam.lan:7860") == 200


def test_a_request_without_or_with_two_hosts_is_refused() -> None:
    for headers in ([], [(b"host", b"localhost")] * 2):
        assert code_of(scope=scope_of() | {"headers": headers}) == 400


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("127.0.0.1:7860", OWN, 200),
        ("localhost:7860", "http://localhost:7860", 200),
        ("[::1]:7860", "http://[::1]:7860", 200),
        ("localhost", "http://localhost", 200),
        ("127.0.0.1:7860", "http://localhost:7860", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:3000", 403),
        ("127.0.0.1:7860", "https://127.0.0.1:7860", 403),
        ("127.0.0.1:7860", "http://127.0.0.1", 403),
        ("127.0.0.1:7860", "http://evil.example", 403),
        ("127.0.0.1:7860", "http://evil.example/127.0.0.1:7860", 403),
        ("127.0.0.1:7860", "null", 403),
        ("127.0.0.1:7860", "", 403),
        ("127.0.0.1:7860", "127.0.0.1:7860", 403),
        ("127.0.0.1:7860", "file://127.0.0.1:7860", 403),
        ("192.168.1.5:7860", "http://192.168.1.5:7860", 200),
        ("192.168.1.5:7860", "http://192.168.1.6:7860", 403),
        ("cats.example", "https://cats.example", 200),
        ("127.0.0.1:7860", "https://cats.example", 200),
        ("127.0.0.1:7860", "https://cats.example:444", 403),
        ("127.0.0.1:7860", "https://dogs.example:8443", 200),
        ("127.0.0.1:7860", "https://dogs.example", 403),
    ],
)
def test_a_script_of_another_origin_is_refused(host: str, origin: str, code: int) -> None:
    assert code_of(ANYWHERE, "POST", host=host, origin=origin) == code
    assert code_of(ANYWHERE, scope=scope_of(kind="websocket", host=host, origin=origin)) == code


@pytest.mark.parametrize(
    ("site", "mode", "dest", "code"),
    [
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
        ("cross-site", "navigate", "document", 200),
        ("same-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "no-cors", "image", 403),
        ("same-site", "cors", "empty", 403),
        ("cross-site", "no-cors", "document", 403),
        ("cross-site", "websocket", "websocket", 403),
        ("anything", "cors", "empty", 403),
    ],
)
def test_what_another_site_asks_for_is_refused_unless_somebody_follows_a_link(
    site: str, mode: str, dest: str, code: int
) -> None:
    given = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    assert code_of(scope=scope_of(**given)) == code


def test_a_link_shows_and_does_nothing() -> None:
    assert code_of(method="POST", scope=scope_of(**NAVIGATION, sec_fetch_site="cross-site")) == 403
    for path in ("/logout", "/gradio_api/queue/join"):
        assert code_of(scope=scope_of(path, **NAVIGATION, sec_fetch_site="cross-site")) == 403
        assert code_of(scope=scope_of(path, **NAVIGATION, sec_fetch_site="same-origin")) == 200


def test_hosts_are_split() -> None:
    assert split_host("Cats.example:80") == ("cats.example", 80)
    assert split_host("[FD00::1]") == ("fd00::1", None)
    for text in ("cats.example:", "cats.example:0", "cats example", "user@cats.example", "http://cats.example", "[1]"):
        assert split_host(text) is None


class Echo:
    """An application that answers with the host, scheme and sender that it sees."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        headers = [(b"content-security-policy", b"default-src *"), (b"x-own", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def answered(scope: dict[str, Any], proxies: str = "", shared: str | None = None) -> tuple[list[dict[str, Any]], Echo]:
    """What a guard sends for a request, and the application behind it."""
    app, sent = Echo(), []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(app, ANYWHERE, proxies, lambda: shared)(scope, None, send))  # type: ignore[arg-type]
    return sent, app


def test_every_answer_is_marked_as_the_pages_own_refusals_too() -> None:
    for scope in (scope_of(), scope_of(origin="http://evil.example"), scope_of(host="evil.example")):
        start = answered(scope)[0][0]
        marks = {name: Headers(raw=start["headers"])[name] for name in ADDED_HEADERS}
        assert marks == ADDED_HEADERS
        assert "access-control-allow-origin" not in Headers(raw=start["headers"])


def test_forwarded_headers_are_believed_from_a_named_proxy_alone() -> None:
    forged = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https", "x_forwarded_for": "9.9.9.9"}
    _, app = answered(
        scope_of(**forged, origin=OWN, forwarded="host=evil.example", x_gradio_server="http://evil.example")
    )
    (seen,) = app.seen
    assert (seen["scheme"], seen["client"][0]) == ("http", "127.0.0.1")
    assert [name for name, _ in seen["headers"]] == [b"host", b"origin"]
    sent, app = answered(scope_of(**forged, origin="http://evil.example"))
    assert (sent[0]["status"], app.seen) == (403, [])
    proxied = {"x_forwarded_host": "cats.example", "x_forwarded_proto": "https", "x_forwarded_for": "9.9.9.9"}
    _, app = answered(scope_of(**proxied, origin="https://cats.example"), proxies="127.0.0.1")
    (seen,) = app.seen
    assert (seen["scheme"], seen["client"][0], Headers(scope=seen)["host"]) == ("https", "9.9.9.9", "cats.example")
    assert answered(scope_of(**forged, origin="https://evil.example"), proxies="127.0.0.1")[0][0]["status"] == 400
    assert (
        answered(scope_of(**proxied, origin="https://cats.example"), proxies="10.0.0.0/8")[1].seen[0]["scheme"]
        == "http"
    )


def test_a_shared_page_answers_to_the_name_that_it_was_given() -> None:
    for name, code in (("abc.gradio.live", 200), ("evil.gradio.live", 400)):
        scope = scope_of(host=name, origin=f"https://{name}")
        assert answered(scope, shared="https://abc.gradio.live")[0][0]["status"] == code


def test_what_gradio_could_do_and_this_page_does_not_need_is_closed() -> None:
    for path in ("proxy=http://10.0.0.1/", "process_recording", "vibe-code", "component_server"):
        assert answered(scope_of(f"/gradio_api/{path}"))[0][0]["status"] == 404


def test_a_refused_socket_is_closed() -> None:
    sent, app = answered(scope_of(kind="websocket", origin="http://evil.example"))
    assert (sent[0]["type"], sent[0]["code"], app.seen) == ("websocket.close", 1008, [])
