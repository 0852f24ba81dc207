"""Threads that end a channel as their work ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.stream.channel import Cancelled, Channel


def start(name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run `work(*arguments)` in a new thread, which does not keep the process alive."""
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def propagate_outcome(channel: Channel[Any]) -> Iterator[None]:
    """End `channel` as the block ends: finished, failed with its error, or cancelled."""
    try:
        yield
    except Cancelled:
        channel.cancel()
    except BaseException as error:
        channel.fail(error)
    else:
        channel.finish()
