"""A bounded queue between two threads, whose end says how it ended."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")


class Cancelled(Exception):  # noqa: N818 - an outcome, not an error
    """Nobody wants the items any more."""


class Finished(Exception):  # noqa: N818 - an outcome, not an error
    """Every item has been read and no more will come."""


class Empty(Exception):  # noqa: N818 - an outcome, not an error
    """Nothing came in time."""


class Channel(Generic[T]):
    """Carries items from one thread to another, at most `capacity` of them at a time.

    A channel ends once, in one of three ways, and later endings change nothing except that `cancel` always does:

    - `finish()`: the reader gets what was put before, then `Finished`.
    - `fail(error)`: the reader gets what was put before, then `error`.
    - `cancel()`: both sides get `Cancelled` at once, a blocked one too; what waits is let go.

    Iterating gives the items until the channel is finished or cancelled, and raises the error of a failed one.
    """

    def __init__(
        self,
        capacity: int,
        policy: Literal["block", "drop_oldest"] = "block",
        on_drop: Callable[[], None] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        """Make an open channel.

        Args:
            capacity: how many items may wait, at least 1.
            policy: what `put` does when as many wait: "block" until one is read, or drop the oldest.
            on_drop: called in the thread of `put` for each item dropped.
            changed: notified of every change; channels that share one can be waited for together, see `wait_for_any`.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._capacity = capacity
        self._policy = policy
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._ending: BaseException | None = None
        self._changed = changed or threading.Condition()

    def put(self, item: T) -> None:
        """Hand `item` over; with the policy "block", wait while the channel is full.

        Raises:
            Cancelled: the channel was cancelled, before or while waiting.
            RuntimeError: the channel was finished or failed before.
        """
        dropped = False
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: self._ending or len(self._items) < self._capacity)
            if isinstance(self._ending, Cancelled):
                raise Cancelled
            if self._ending is not None:
                raise RuntimeError("put into a channel that has ended")
            if len(self._items) == self._capacity:
                self._items.popleft()
                dropped = True
            self._items.append(item)
            self._changed.notify_all()
        if dropped and self._on_drop is not None:
            self._on_drop()

    def get(self, timeout: float | None = None) -> T:
        """Return the oldest item, waiting for one up to `timeout` seconds, or forever.

        Raises:
            Empty: nothing came in time.
            Finished: the channel is finished and empty.
            Cancelled: the channel was cancelled.
            BaseException: the error with which the channel failed, once it is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ending, timeout)
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            if self._ending is not None:
                raise self._ending
            raise Empty

    def __iter__(self) -> Iterator[T]:
        """Yield the items until the end; raise the error of a failed channel."""
        while True:
            try:
                item = self.get()
            except (Finished, Cancelled):
                return
            yield item

    @property
    def is_ready(self) -> bool:
        """Whether `get` would return or raise at once."""
        return bool(self._items) or self._ending is not None

    def finish(self) -> None:
        """End the channel: no more items will come."""
        self._end(Finished())

    def fail(self, error: BaseException) -> None:
        """End the channel with `error`, which the reader gets after the items put before."""
        self._end(error)

    def cancel(self) -> None:
        """End the channel at once for both sides, and let go of what waits."""
        with self._changed:
            self._items.clear()
            self._ending = Cancelled()
            self._changed.notify_all()

    def _end(self, ending: BaseException) -> None:
        with self._changed:
            self._ending = self._ending or ending
            self._changed.notify_all()


def wait_for_any(channels: Sequence[Channel[Any]], changed: threading.Condition, timeout: float | None = None) -> bool:
    """Wait up to `timeout` seconds until one of `channels`, which share `changed`, is ready; return whether one is."""
    with changed:
        return bool(changed.wait_for(lambda: any(channel.is_ready for channel in channels), timeout))
