"""What one visitor may take of the server."""

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.page import limits
from app.page.connections import HEAD_SECONDS, close_silent
from app.page.limits import Limits, bytes_in
from app.page.senders import MAX_BACK_OFF_SECONDS, LoginThrottle, RequestSlots, sender_of

MB = 1 << 20


async def count(request: Request) -> Response:
    """Answer with the size of the body, as Gradio's routes read theirs."""
    return JSONResponse(len(await request.body()))


async def break_down(request: Request) -> Response:
    raise OSError(36, "File name too long", "a" * 5000)


async def log_in(request: Request) -> Response:
    return Response(status_code=200 if await request.body() == b"right" else 400)


ROUTES = [
    Route("/{name:path}", break_down, methods=["PUT"]),
    Route("/login", log_in, methods=["POST"]),
    Route("/{name:path}", count, methods=["GET", "POST"]),
]


class Sender:
    """Sends requests to an application behind limits, each part of a body after a while."""

    def __init__(self, folder: Path, max_file_bytes: int = MB) -> None:
        self.app = Limits(Starlette(routes=ROUTES), max_file_bytes, folder)

    def __call__(self, path: str, parts: tuple[bytes, ...] = (), method: str = "POST", **given: Any) -> tuple[int, str]:
        return asyncio.run(self._send(path, parts, method, given))

    async def _send(self, path: str, parts: tuple[bytes, ...], method: str, given: dict[str, Any]) -> tuple[int, str]:
        delays, is_whole = given.pop("delay", 0), given.pop("is_whole", True)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "client": ("10.0.0.7", 1234),
        } | given
        left, sent = list(parts), []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(delays)
            if not left and not is_whole:
                await asyncio.sleep(60)
            body = left.pop(0) if left else b""
            return {"type": "http.request", "body": body, "more_body": bool(left) or not is_whole}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], body.decode()


@pytest.fixture
def send(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def test_a_body_within_the_limits_passes(send: Sender) -> None:
    assert send("/gradio_api/run/predict", (b"x" * 500, b"y" * 500)) == (200, "1000")
    assert send("/gradio_api/upload", (bytes(MB),) * 10) == (200, str(10 * MB))
    assert send("/config", method="GET") == (200, "0")


def test_a_body_that_is_too_large_is_refused_as_soon_as_it_is(send: Sender) -> None:
    assert send("/gradio_api/run/predict", (bytes(MB), b"x")) == (413, '{"detail":"The request is larger than 1 MB."}')
    code, text = send("/gradio_api/upload", (bytes(MB),) * 12)
    assert (code, "larger than 11 MB" in text) == (413, True)


def test_a_body_that_stops_or_crawls_is_refused(send: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_SECONDS", 0.1)
    assert send("/gradio_api/upload", (b"x",), is_whole=False)[0] == 408
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.0)
    assert send("/picture/segment", (b"x",) * 5, delay=0.01) == (408, '{"detail":"The request came too slowly."}')


def test_a_name_that_no_file_can_have_is_the_senders_mistake(send: Sender) -> None:
    code, text = send("/gradio_api/upload", method="PUT")
    assert (code, "name that is too long" in text) == (400, True)
    with pytest.raises(OSError, match="File name"):  # anywhere else it is a bug, and is logged as one
        send("/config", method="PUT")


@pytest.mark.parametrize(
    ("path", "code"), [("/gradio_api/file=a\0b", 400), ("/video/x/a\nb", 400), ("/" + "a" * 5000, 414), ("/a b", 200)]
)
def test_addresses_with_control_characters_or_without_end_are_refused(send: Sender, path: str, code: int) -> None:
    assert send(path, method="GET")[0] == code


def test_no_more_is_kept_than_the_disk_and_the_quota_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Sender(tmp_path, max_file_bytes=1000)
    (tmp_path / "one").write_bytes(bytes(20_000))
    (tmp_path / "same").hardlink_to(tmp_path / "one")
    assert bytes_in(tmp_path) == 20_000
    assert send("/gradio_api/upload")[0] == 200
    (tmp_path / "two").write_bytes(b"x")
    assert send("/gradio_api/upload") == (
        507,
        '{"detail":"This page keeps no more files at the moment: try again in an hour."}',
    )
    (tmp_path / "two").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert send("/gradio_api/upload") == (507, '{"detail":"The server\'s disk is full."}')


def test_passwords_are_not_guessed_by_trying(send: Sender) -> None:
    assert [send("/login", (b"wrong",))[0] for _ in range(7)] == [400] * 5 + [429] * 2
    code, text = send("/login", (b"right",))
    assert (code, "Too many wrong passwords. Try again in" in text) == (429, True)
    assert send("/login", (b"right",), client=("10.0.0.8", 1))[0] == 200  # somebody else
    assert [send("/login/", (b"right",), client=("10.0.0.9", 1))[0] for _ in range(9)] == [200] * 9


def test_tries_at_the_same_moment_are_counted_before_they_end() -> None:
    guesses = LoginThrottle(lambda: 100.0)
    assert [guesses.begin("anna") > 0 for _ in range(300)] == [False] * 5 + [True] * 295


def test_the_pause_after_wrong_passwords_doubles_and_ends() -> None:
    now = [0.0]
    guesses = LoginThrottle(lambda: now[0])
    pauses = []
    for _ in range(10):
        while not (pause := guesses.begin("anna")):
            now[0] += 1
        pauses.append(pause)
        now[0] += pause
    assert pauses[:4] == [60, 120, 240, 480]
    assert max(pauses) == MAX_BACK_OFF_SECONDS
    guesses.forget("anna")
    assert guesses.begin("anna") == 0


def test_what_is_known_of_guessers_is_bounded() -> None:
    now = [0.0]
    guesses = LoginThrottle(lambda: now[0])
    for number in range(25_000):
        now[0] += 0.1
        guesses.begin(str(number))
    assert len(guesses._begun) <= 10_001


@pytest.mark.parametrize(
    ("host", "who"),
    [("10.0.0.7", "10.0.0.7"), ("2001:db8::1:2", "2001:db8::/64"), ("2001:db8::ffff", "2001:db8::/64"), ("", "")],
)
def test_a_sender_is_an_address_or_a_network(host: str, who: str) -> None:
    assert sender_of({"client": (host, 1)}) == who


def test_pictures_wait_before_they_are_read_and_each_sender_has_one_place() -> None:
    async def try_it() -> None:
        places = RequestSlots(total=2, each=1, max_waiting=3)
        inside: list[str] = []
        doors = {who: asyncio.Event() for who in ("anna", "otto", "eve")}

        async def visit(who: str) -> bool:
            async with places.take(who) as has_place:
                inside.append(who if has_place else f"{who} refused")
                if has_place:
                    await doors[who].wait()
                return has_place

        first = [asyncio.create_task(visit(who)) for who in ("anna", "anna", "otto", "eve")]
        await asyncio.sleep(0.01)
        assert inside == ["anna", "otto"]
        more = [asyncio.create_task(visit("eve")) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert inside == ["anna", "otto", "eve refused"]
        for door in doors.values():
            door.set()
        assert await asyncio.gather(*first) == [True] * 4
        assert sorted(await asyncio.gather(*more)) == [False, True]

    asyncio.run(try_it())


def test_who_leaves_while_waiting_for_a_place_takes_none() -> None:
    async def try_it() -> None:
        places = RequestSlots(total=1, each=1, max_waiting=1)

        async def enter() -> None:
            async with places.take("anna"):
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(enter()) for _ in range(2)]
        await asyncio.sleep(0.01)
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with places.take("otto") as has_place:
            assert has_place

    asyncio.run(try_it())


class Connection:
    """What uvicorn keeps for a connection, as far as it matters."""

    def __init__(self, **given: Any) -> None:
        self.is_closed = False
        self.transport = SimpleNamespace(close=self._close)
        self.__dict__.update(given)

    def _close(self) -> None:
        self.is_closed = True


def test_connections_without_a_whole_request_are_closed_after_a_while() -> None:
    silent = Connection(cycle=None, timeout_keep_alive_task=None)
    second = Connection(cycle=SimpleNamespace(response_complete=True), timeout_keep_alive_task=None)
    at_work = Connection(cycle=SimpleNamespace(response_complete=False), timeout_keep_alive_task=None)
    between = Connection(cycle=SimpleNamespace(response_complete=True), timeout_keep_alive_task=object())
    websocket = Connection()
    waiting: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
    everybody = {silent, second, at_work, between, websocket}
    close_silent(everybody, waiting, 0.0)
    close_silent(everybody, waiting, HEAD_SECONDS)
    assert not any(one.is_closed for one in everybody)
    close_silent(everybody, waiting, HEAD_SECONDS + 1)
    assert {one for one in everybody if one.is_closed} == {silent, second}
