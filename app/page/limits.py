"""What one visitor may take of the server: the length of addresses and bodies, time, disk, and guesses at the login."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import NoReturn

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.page.senders import LoginThrottle, sender_of

MAX_ADDRESS_BYTES = 4000
MAX_BODY_BYTES = 1 << 20  # of anything but files
FILES_AT_ONCE = 10  # in one upload
FILES_KEPT = 20  # of the largest size, on disk, of all visitors
FREE_BYTES = 1 << 30  # left on the disk
CHUNK_SECONDS = 20.0  # between two parts of a body
GRACE_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 20_000  # of a body, after the time of grace
UPLOAD, LOGIN = ("/gradio_api/upload", "/picture/segment"), ("/login", "/login/")
UNUSABLE = 400, "The request holds something that cannot be used, such as a file's name that is too long."


class Limits:
    """Refuses requests that take too much, each with a sentence and a code of its own."""

    def __init__(self, app: ASGIApp, max_file_bytes: int, folder: Path) -> None:
        """Stand in front of `app`.

        Args:
            app: what answers.
            max_file_bytes: of one file.
            folder: where uploads are kept.
        """
        self._app, self._max_file_bytes, self._folder = app, max_file_bytes, folder
        self._guesses = LoginThrottle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request within the limits."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None and scope["type"] == "http":
            await JSONResponse({"detail": refusal[1]}, refusal[0])(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] in LOGIN:
            await self._log_in(scope, receive, send)
        else:
            await self._with_limited_body(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > MAX_ADDRESS_BYTES:
            return 414, f"An address may have {MAX_ADDRESS_BYTES} bytes."
        if not scope["path"].isprintable():
            return 400, "An address may hold no control characters."
        if scope["path"].startswith(UPLOAD[0]) and scope.get("method") == "POST":
            return self._upload_refusal()
        return None

    def _upload_refusal(self) -> tuple[int, str] | None:
        if bytes_in(self._folder) > FILES_KEPT * self._max_file_bytes:
            return 507, "This page keeps no more files at the moment: try again in an hour."
        if shutil.disk_usage(self._folder).free < FREE_BYTES + self._max_file_bytes:
            return 507, "The server's disk is full."
        return None

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = sender_of(scope)
        wait = self._guesses.begin(who)
        if wait > 0:
            sentence = f"Too many wrong passwords. Try again in {wait:.0f} seconds."
            headers = {"Retry-After": str(round(wait))}
            await JSONResponse({"detail": sentence}, 429, headers)(scope, receive, send)
            return

        async def send_and_see(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._guesses.forget(who)
            await send(message)

        await self._with_limited_body(scope, receive, send_and_see)

    async def _with_limited_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_file = scope["path"].startswith(UPLOAD)
        body = Body(receive, FILES_AT_ONCE * self._max_file_bytes + MAX_BODY_BYTES if is_file else MAX_BODY_BYTES)
        is_replaced = False

        async def send_or_replace(message: Message) -> None:
            """Send the sentence that belongs to a failure instead of the answer that the application makes of it."""
            nonlocal is_replaced
            if message["type"] == "http.response.start":
                is_unusable = message["status"] == 500 and scope["path"].startswith(UPLOAD[0])
                refusal = body.refusal or (UNUSABLE if is_unusable else None)
                if refusal is not None:
                    is_replaced = True
                    answer = JSONResponse({"detail": refusal[1]}, refusal[0], {"Connection": "close"})
                    await answer(scope, receive, send)
            if not is_replaced:
                await send(message)

        try:
            await self._app(scope, body.receive, send_or_replace)
        except (LimitError, OSError, ValueError):
            if not is_replaced:
                raise


class LimitError(Exception):
    """A body that is too large, or comes too slowly."""


class Body:
    """The body of one request as it arrives.

    Attributes:
        refusal: code and sentence, once it has broken a limit.
    """

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        """Read nothing yet."""
        self.refusal: tuple[int, str] | None = None
        self._receive, self._max_bytes = receive, max_bytes
        self._started: float | None = None
        self._is_whole = False
        self._taken = 0

    async def receive(self) -> Message:
        """Return the next part.

        Raises:
            LimitError: the body is too large, stops, or comes too slowly.
        """
        if self._is_whole:  # what comes now is only the end of the connection, which may take as long as it likes
            return await self._receive()
        self._started = self._started or time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), CHUNK_SECONDS)
        except TimeoutError:
            self._refuse(408, "The request came too slowly.")
        if message["type"] == "http.request":
            self._take(len(message.get("body", b"")), not message.get("more_body", False))
        return message

    def _take(self, count: int, is_last: bool) -> None:
        self._taken += count
        self._is_whole = is_last
        seconds = time.monotonic() - (self._started or 0)
        if self._taken > self._max_bytes:
            self._refuse(413, f"The request is larger than {self._max_bytes >> 20} MB.")
        if not is_last and self._taken < MIN_BYTES_PER_SECOND * (seconds - GRACE_SECONDS):
            self._refuse(408, "The request came too slowly.")

    def _refuse(self, code: int, sentence: str) -> NoReturn:
        self.refusal = code, sentence
        raise LimitError(sentence)


def bytes_in(folder: Path) -> int:
    """Return what the files below `folder` take; a file of several names counts once."""
    found: dict[int, int] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.stat(os.path.join(directory, name))
            except OSError:  # removed meanwhile
                continue
            found[status.st_ino] = status.st_size
    return sum(found.values())
