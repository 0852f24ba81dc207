"""Delivers records to one target in a thread of its own, from a bounded queue that never delays a frame."""

import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from app.events.record import EventRecord
from app.sources.backoff import Backoff
from app.stream_errors import AppError

CAPACITY = 10_000  # records that wait
BATCH = 100  # records under way, beside those that wait
FLUSH_SECONDS = 5.0  # at the end

ShouldStop = Callable[[], bool]


class TargetError(AppError):
    """A target that does not take records now.

    Attributes:
        is_refusal: it will never take the first of them, so that another try is useless.
    """

    def __init__(self, reason: str, is_refusal: bool = False) -> None:
        """Take the reason, in a few words without any password."""
        super().__init__(reason)
        self.is_refusal = is_refusal


class Target(ABC):
    """Where records go. Its methods are called in one thread.

    Attributes:
        name: to show, without any password.
    """

    name: str

    @abstractmethod
    def send(self, records: Sequence[EventRecord], should_stop: ShouldStop) -> int:
        """Deliver records, and return how many, from the first on, were taken: fewer only if `should_stop`.

        Raises:
            TargetError: not even the first could be delivered.
        """

    def close(self) -> None:  # noqa: B027 - some targets have nothing to end
        """End it."""


class Delivery:
    """A target, its queue and its thread. A target that is away is tried again forever.

    Attributes:
        sent: records that the target has taken.
        lost: records that it will never get: the oldest of those that did not fit, those that it refused, and those
            that were left at the end.
    """

    def __init__(
        self,
        target: Target,
        *,
        capacity: int = CAPACITY,
        waits: bool = False,
        backoff: Backoff | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            target: gets the records.
            capacity: so many records wait at most; the oldest are lost to newer ones.
            waits: while the target works, `put` waits for room instead: for files, whose frames wait, too.
            backoff: how long to wait after failures.
            tell: gets a line when the target fails, and when it works again; None prints it on standard error.
        """
        self.sent = self.lost = 0
        self._target, self._capacity, self._waits = target, capacity, waits
        self._backoff = backoff or Backoff()
        self._tell = tell or _print
        self._records: deque[EventRecord] = deque()
        self._batch: list[EventRecord] = []  # under way; of the thread alone
        self._changed = threading.Condition()
        self._failures = 0
        self._closing = False
        self._must_stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"events {target.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the target."""
        return self._target.name

    @property
    def waiting(self) -> int:
        """How many records wait or are under way."""
        return len(self._records) + len(self._batch)

    def put(self, record: EventRecord) -> None:
        """Let a record wait for the target. Returns at once, unless this waits; see `__init__`."""
        with self._changed:
            while self._waits and len(self._records) >= self._capacity and not self._failures and not self._closing:
                self._changed.wait()
            if len(self._records) >= self._capacity:
                self._records.popleft()
                self.lost += 1
            self._records.append(record)
            self._changed.notify_all()

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Give the target so many seconds to take what waits; the rest is lost. Closing again does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        self._must_stop.set()
        self._thread.join(seconds)
        with self._changed:
            self.lost += self.waiting
            self._records.clear()
            self._batch.clear()
        self._target.close()

    def _work(self) -> None:
        while self._fill_batch() and not self._must_stop.is_set():
            try:
                sent = self._target.send(self._batch, self._must_stop.is_set)
            except TargetError as error:
                self._fail(error)
            else:
                self._done(sent)

    def _fill_batch(self) -> bool:
        """Take the oldest records under way, unless some still are; return whether there are any."""
        with self._changed:
            while not self._records and not self._batch and not self._closing:
                self._changed.wait()
            while self._records and len(self._batch) < BATCH:
                self._batch.append(self._records.popleft())
            self._changed.notify_all()
            return bool(self._batch)

    def _done(self, sent: int) -> None:
        with self._changed:
            del self._batch[:sent]
            self.sent += sent
            was_failing, self._failures = self._failures > 0, 0
        if was_failing:
            self._tell(f"{self.name} takes events again")

    def _fail(self, error: TargetError) -> None:
        with self._changed:
            if error.is_refusal:
                del self._batch[0]
                self.lost += 1
            self._failures += 1
            failures = self._failures
            self._changed.notify_all()
        if failures == 1:
            what = "the event is lost" if error.is_refusal else f"up to {self._capacity} events wait for it"
            self._tell(f"{self.name} does not take events: {error}; {what}, and the run goes on")
        if not error.is_refusal:
            self._must_stop.wait(self._backoff.seconds(failures) or 0)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
