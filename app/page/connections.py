"""Closes connections that send no whole request, and sets the limits of uvicorn that Gradio does not let one choose."""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

from starlette.applications import Starlette

HEAD_SECONDS = 20.0  # within which the head of a request must have come
MAX_CONNECTIONS = 500
MAX_MESSAGE_BYTES = 9 << 20  # a camera's picture, and more than any wish
MAX_MESSAGES_WAITING = 4
LOOK_SECONDS = 1.0


async def tend_connections(app: Starlette) -> None:
    """Look after the connections of the server of `app` until cancelled."""
    waiting: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
    while True:
        server = getattr(app.get_blocks(), "server", None)  # type: ignore[attr-defined]  # Gradio's
        if server is not None:
            set_limits(server.config)
            close_silent(server.server_state.connections, waiting, time.monotonic())
        await asyncio.sleep(LOOK_SECONDS)


def set_limits(config: Any) -> None:
    """Set what uvicorn reads again for each connection."""
    config.limit_concurrency = MAX_CONNECTIONS
    config.ws_max_size = MAX_MESSAGE_BYTES
    config.ws_max_queue = MAX_MESSAGES_WAITING


def close_silent(connections: set[Any], waiting: "WeakKeyDictionary[Any, float]", now: float) -> None:
    """Close the connections whose request has not come for too long.

    Args:
        connections: uvicorn's protocols. Those of WebSockets, which have no `cycle`, are left alone.
        waiting: since when each has been waited for; kept from call to call.
        now: in seconds.
    """
    for connection in list(connections):
        cycle = getattr(connection, "cycle", connection)
        is_answered = cycle is None or getattr(cycle, "response_complete", False)
        if not is_answered or getattr(connection, "timeout_keep_alive_task", None) is not None:
            waiting.pop(connection, None)
        elif now - waiting.setdefault(connection, now) > HEAD_SECONDS and connection.transport is not None:
            connection.transport.close()
