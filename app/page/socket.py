"""The one connection between a browser and the stream: pictures and news down; a camera's pictures and wishes up.

Down come binary messages, a picture each (little-endian float64 `pts_seconds`, float64 age in milliseconds, uint32
number of its source, then the JPEG), and JSON: `{"status": ...}` twice a second, `{"taken": 1}` for each camera picture
that arrived. Up go binary messages (float64 clock in milliseconds, then a JPEG of the camera) and JSON: `{"ready": 0}`
for each picture of source 0 that was painted, `{"look": 2}` to see source 2 alone (-1: all, as tiles), `{"do":
"pause"}` and the like for what is looked at, `{"camera_problem": "..."}`.

Whoever sends anything else is disconnected, alone.

At most `IN_FLIGHT` pictures of a source are on their way in either direction: who is slow gets fewer, and never old
ones.
"""

import asyncio
import contextlib
import json
import re
import struct
import time
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.page.choice import MAX_SOURCES
from app.page.site import Site, is_logged_in, site_of
from app.page.status import stream_status
from app.page.stream_runner import ALL
from app.sinks.jpeg_sink import Viewer
from app.stream_errors import AppError

IN_FLIGHT = 2
STATUS_SECONDS = 0.5
FORBIDDEN = 1008
MAX_VIEWERS = 100
TRY_LATER = 1013
MAX_TEXT = 2000  # characters of a wish
MAX_CAMERA_BYTES = 8 << 20
MAX_CLOCK_MS = 1e11  # three years, for a browser's clock that begins with its page
VIEWER_ID = re.compile("[0-9A-Za-z-]{0,64}")
GONE_AWAY = 1001
DOWN_HEAD = struct.Struct("<ddI")
UP_HEAD = struct.Struct("<d")


class BadMessageError(Exception):
    """A browser has sent what no page of ours sends."""


class ClientMessage(BaseModel):
    """What a browser may ask for, one thing at a time."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ready: Annotated[int, Field(ge=0, lt=MAX_SOURCES)] | None = None
    look: Annotated[int, Field(ge=ALL, lt=MAX_SOURCES)] | None = None
    do: Literal["pause", "resume", "stop", "record", "stop recording"] | None = None
    camera_problem: Annotated[str, StringConstraints(min_length=1, max_length=300)] | None = None


async def serve_socket(connection: WebSocket) -> None:
    """Serve one browser until it leaves."""
    site, viewer = site_of(connection), connection.query_params.get("viewer", "")
    if not is_logged_in(connection) or not VIEWER_ID.fullmatch(viewer):
        await connection.close(FORBIDDEN)
        return
    await connection.accept()
    if len(site.engine.viewers()) >= MAX_VIEWERS:
        await connection.close(TRY_LATER, f"{MAX_VIEWERS} are looking already")
        return
    await _BrowserConnection(connection, site, viewer).serve()


class _BrowserConnection:
    """One browser, as long as it is connected."""

    def __init__(self, connection: WebSocket, site: Site, viewer_id: str) -> None:
        self._connection, self._site, self._viewer_id = connection, site, viewer_id
        self._engine = site.engine
        self._viewer = Viewer()
        self._look = ALL
        self._in_flight: Counter[int] = Counter()  # pictures by the number of their source
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()
        self._problem = ""

    async def serve(self) -> None:
        tasks = [asyncio.create_task(work()) for work in (self._receive, self._send_pictures, self._send_status)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        code = GONE_AWAY
        for task in done:
            try:
                task.result()
            except WebSocketDisconnect:
                pass
            except BadMessageError:
                code = FORBIDDEN
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the browser was faster
            await self._connection.close(code)

    async def _send_pictures(self) -> None:
        with self._viewer:
            self._look_at_boards()
            while True:
                index, jpeg = await self._viewer.next(lambda index: self._in_flight[self._source_of(index)] < IN_FLIGHT)
                source = self._source_of(index)
                self._in_flight[source] += 1
                age_ms = 1000 * (time.monotonic() - jpeg.captured_at)
                async with self._sending:
                    await self._connection.send_bytes(DOWN_HEAD.pack(jpeg.pts_seconds, age_ms, source) + jpeg.data)

    def _look_at_boards(self) -> None:
        """Look at what the visitor wants to see; the stream may have other sources than before."""
        self._viewer.look_at(self._engine.boards(self._look))

    def _source_of(self, board: int) -> int:
        """The number of the source that a board shows."""
        return self._look if 0 <= self._look < len(self._engine.views) else board

    async def _send_status(self) -> None:
        while not self._site.is_closed:
            self._look_at_boards()
            await self._send({"status": self._status()})
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), STATUS_SECONDS)

    def _status(self) -> dict[str, Any]:
        problem, self._problem = self._problem, ""
        recording = self._site.recordings.get(self._source)
        status = stream_status(self._engine, self._look)
        return status | {
            "controls": self._engine.controls_state(self._look),
            "camera": self._engine.camera_of(self._viewer_id) is not None,
            "has_recording": recording is not None and recording.exists(),
            "problem": problem or status["problem"],
            "viewers": len(self._engine.viewers()),
        }

    @property
    def _source(self) -> int:
        """The source that is recorded on request: the one that is looked at, or the first."""
        return max(0, self._look)

    async def _receive(self) -> None:
        while True:
            message = await self._connection.receive()
            if message["type"] == "websocket.disconnect":
                return
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                await self._take_camera_picture(data)
            elif text is not None:
                await self._obey(text)

    async def _take_camera_picture(self, data: bytes) -> None:
        if not UP_HEAD.size < len(data) <= MAX_CAMERA_BYTES:
            raise BadMessageError
        clock_ms = UP_HEAD.unpack_from(data)[0]
        if not 0 <= clock_ms <= MAX_CLOCK_MS:  # NaN is refused, too
            raise BadMessageError
        source = self._engine.camera_of(self._viewer_id)
        if source is not None:
            source.push(data[UP_HEAD.size :], round(clock_ms))
        await self._send({"taken": 1})

    async def _obey(self, text: str) -> None:
        try:
            wish = ClientMessage.model_validate_json(text if len(text) <= MAX_TEXT else "")
        except ValidationError:
            raise BadMessageError from None
        if wish.ready is not None:
            if not self._in_flight[wish.ready]:  # more than it was sent
                raise BadMessageError
            self._in_flight[wish.ready] -= 1
            self._viewer.wake()
            return
        if wish.look is not None:
            self._look = wish.look
            self._look_at_boards()
        camera = self._engine.camera_of(self._viewer_id)
        if wish.camera_problem is not None and camera is not None:
            camera.fail(wish.camera_problem)
        if wish.do is not None:
            try:
                await asyncio.to_thread(self._do, wish.do)
            except AppError as error:
                self._problem = str(error)
        self._news.set()

    def _do(self, wish: str) -> None:
        engine = self._engine
        if wish in ("pause", "resume"):
            engine.panel_of(self._look).update(paused=wish == "pause")
        elif wish == "stop":
            engine.stop()
        elif wish == "record":
            self._site.start_recording(self._source)
        elif wish == "stop recording":
            engine.stop_recording(self._source)

    async def _send(self, news: dict[str, Any]) -> None:
        async with self._sending:
            await self._connection.send_text(json.dumps(news))
