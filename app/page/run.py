"""One run of the stream on the page, from its start to its end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.page.choice import Choice
from app.page.feed import Feed
from app.page.view import View

State: TypeAlias = Literal["starting", "running", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        state: "ended" or "failed" for good.
        message: what it is doing, or why it has failed; for people.
        feeds: its sources, once they are open.
        class_names: what its model knows; empty as long as it is not loaded.
    """

    state: State
    message: str = ""
    feeds: tuple[Feed, ...] = ()
    class_names: tuple[str, ...] = ()


class Run:
    """A run, and the thread that it works in.

    Attributes:
        choice: what is streamed.
        views: where its pictures are posted, one for each source.
        progress: how far it is; replaced whole, by its own thread.
    """

    def __init__(self, choice: Choice, views: tuple[View, ...], work: "Callable[[Run], None]") -> None:
        """Do nothing yet; `work` is what the thread does."""
        self.choice, self.views = choice, views
        self.progress = Progress("starting", f"Loading the model {choice.model}")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=work, args=(self,), name="stream", daemon=True)

    def start(self) -> None:
        """Let its thread begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end soon."""
        self._stopped.set()

    def join(self, timeout: float) -> None:
        """Wait for its end, up to `timeout` seconds."""
        self._thread.join(timeout)

    def is_stopped(self) -> bool:
        """Whether it has to end."""
        return self._stopped.is_set()

    @property
    def is_on(self) -> bool:
        """Whether it streams, or is about to."""
        return self.progress.state in ("starting", "running")
