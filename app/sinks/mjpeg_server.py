"""Pictures over HTTP as motion JPEG, for browsers and players, behind a token."""

import hmac
import os
import secrets
import socket
import sys
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.sinks.jpeg_sink import MULTIPART, JpegSink, LatestJpeg, multipart
from app.stream.controls import ControlPanel
from app.stream.frames import Cover
from app.stream_errors import SinkError

TOKEN_VARIABLE = "SOLOV2_LIVE_TOKEN"  # noqa: S105 - a name, not a token
MAX_VIEWERS = 16
CLOSE_SECONDS = 5.0


class MjpegServer(JpegSink):
    """Serves `http://HOST:PORT/?token=TOKEN`; the token may stand in `Authorization: Bearer TOKEN` instead.

    While nobody looks, nothing is drawn or encoded.

    Attributes:
        address: with the token.
    """

    def __init__(self, host: str, port: int, panel: ControlPanel, cover: Cover | None = None) -> None:
        """Listen at once, and print the address on standard error.

        Args:
            host, port: where; port 0 takes a free one.
            panel, cover: see `JpegSink`.

        Raises:
            SinkError: nothing can listen there.
        """
        board = LatestJpeg()
        super().__init__(board, panel, cover)
        self._board = board
        given = os.environ.get(TOKEN_VARIABLE)
        self._token = given or secrets.token_urlsafe(16)
        listening = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{listening.getsockname()[1]}/?token={self._token}"
        print(f"motion JPEG: {_without(self._token, self.address) if given else self.address}", file=sys.stderr)
        app = Starlette(routes=[Route("/", self._answer)])
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="motion JPEG", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; open connections end."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(CLOSE_SECONDS)

    async def _answer(self, request: Request) -> Response:
        given = request.query_params.get("token") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("the token is missing or wrong\n", 401)
        if len(self._board.viewers) >= MAX_VIEWERS:
            return PlainTextResponse(f"{MAX_VIEWERS} look already\n", 503)
        return StreamingResponse(multipart(self._board), media_type=MULTIPART, headers={"Cache-Control": "no-store"})


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SinkError(f"could not listen at {host}:{port}: {error.strerror}. Choose another port") from error


def _without(token: str, address: str) -> str:
    return address.replace(token, f"${TOKEN_VARIABLE}")
