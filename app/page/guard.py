"""Let the page's own requests in and nobody else's: around every route, Gradio's and its CORS answers included."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.page.connections import tend_connections
from app.page.limits import Limits
from app.page.origin import THIS_MACHINE, PageNames, Refusal

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"  # where Gradio keeps uploads
UVICORN_VARIABLE = "FORWARDED_ALLOW_IPS"  # whose forwarded headers uvicorn believes; this machine's where it is not set
FORBIDDEN = 1008  # the WebSocket code of a refusal
ADDED_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
UNUSED = (
    "/gradio_api/component_server",
    "/gradio_api/deep_link",
    "/gradio_api/process_recording",
    "/gradio_api/profiling",
    "/gradio_api/proxy=",
    "/gradio_api/run-history",
    "/gradio_api/runs",
    "/gradio_api/stream/",
    "/gradio_api/undo-vibe",
    "/gradio_api/vibe",
    "/monitoring",
)
"""Routes of Gradio's that this page does not need: they fetch addresses, run FFmpeg, or write files."""


class Guard:
    """Refuses what does not come from the page itself, and marks every answer as the page's own.

    Headers that a proxy sets are believed only where one is named, and are removed in any case, as Gradio believes them
    from everybody.
    """

    def __init__(
        self, app: ASGIApp, names: PageNames, proxies: str = "", shared: Callable[[], str | None] = str
    ) -> None:
        """Stand in front of `app`.

        Args:
            app: what answers.
            names: the page's.
            proxies: the addresses of proxies, with commas between; none where empty.
            shared: returns the public address that the page has got meanwhile, if it has.
        """
        self._app, self._names, self._shared = app, names, shared
        self._behind_proxy = ProxyHeadersMiddleware(self._answer, proxies)  # type: ignore[arg-type]  # its own ASGI types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sender = scope["client"][0] if scope.get("client") else None
        if sender in self._behind_proxy.trusted_hosts:
            use_forwarded_host(scope)
        await self._behind_proxy(scope, receive, send)  # type: ignore[arg-type]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        drop_forwarded(scope)
        names = self._names
        if host := urlsplit(self._shared() or "").hostname:
            names = replace(names, public=names.public | {host})
        refusal = names.refusal(scope, Headers(scope=scope))
        if refusal is None and scope["path"].startswith(UNUSED):
            refusal = Refusal(404, "This page has no such address.")
        if refusal is None:
            await self._app(scope, receive, marking(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(FORBIDDEN)(scope, receive, send)
        else:
            await JSONResponse({"detail": refusal.sentence}, refusal.code)(scope, receive, marking(send))


def marking(send: Send) -> Send:
    """Return a `send` that adds the headers by which browsers keep an answer from other sites."""

    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(ADDED_HEADERS)
        await send(message)

    return send_marked


def use_forwarded_host(scope: Scope) -> None:
    """Let the name that a proxy was asked for be the one that is asked for here."""
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
    if forwarded:
        nearest = forwarded[-1].split(b",")[-1].strip()  # each proxy appends
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        scope["headers"] = [(b"host", nearest), *others]


def drop_forwarded(scope: Scope) -> None:
    """Remove what a proxy may have set, or anybody else."""
    prefixes = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"x-gradio-")
    scope["headers"] = [(name, value) for name, value in scope["headers"] if not name.startswith(prefixes)]


def guarding(options: argparse.Namespace) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return the lifespan by which a page of these options is guarded.

    Gradio puts its own middleware, which answers other sites' CORS requests, around any that it is given. Only when the
    server starts, before it listens, is the stack complete and can be enclosed.
    """
    names = PageNames(options.host, frozenset(options.public_host or ()))
    proxies = options.behind_proxy or (THIS_MACHINE if options.share else "")  # Gradio's tunnel ends at this machine

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        def shared() -> str | None:
            return getattr(app.get_blocks(), "share_url", None)  # type: ignore[attr-defined]  # Gradio's

        if app.middleware_stack is None:
            raise RuntimeError("the page's routes cannot be guarded: Starlette has built no middleware stack")
        limits = Limits(app.middleware_stack, options.max_upload << 20, Path(os.environ[FOLDER_VARIABLE]))
        app.middleware_stack = Guard(limits, names, proxies, shared)
        tending = asyncio.create_task(tend_connections(app))
        try:
            yield
        finally:
            tending.cancel()

    return lifespan


def ignore_forwarded_headers() -> None:
    """Keep uvicorn from believing forwarded headers by itself; `Guard` decides about them."""
    os.environ[UVICORN_VARIABLE] = ""
