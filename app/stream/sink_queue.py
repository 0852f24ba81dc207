"""A sink and the queue in front of it: one that is slow or fails holds up nobody else."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from app.stream.channel import Cancelled, Channel, Empty, Finished
from app.stream.frames import Result
from app.stream.parts import Sink
from app.stream.stats import StreamStats

RESULTS_WAITING = 4
LIVE_RESULTS_WAITING = 15  # for a sink that wants every result: half a second of a hard disk that is busy


def make_queue(sink: Sink, is_live: bool, stats: StreamStats, changed: threading.Condition) -> Channel[Result]:
    """Return the queue that the policy of `sink` asks for, for the results of a source that is live or not.

    Args:
        sink: its `policy` counts.
        is_live: of the source.
        stats: counts what does not fit.
        changed: shared by the queues that are waited for together.
    """
    if sink.policy == "latest":
        return Channel(1, "drop_oldest", lambda: stats.dropped("display"), changed)
    if is_live:
        return Channel(LIVE_RESULTS_WAITING, "drop_oldest", lambda: stats.dropped("sink"), changed)
    return Channel(RESULTS_WAITING, changed=changed)


class SinkQueue:
    """Hands results to a sink, in whichever thread calls `step`.

    Attributes:
        sink: the sink.
        results: what waits for it.
        is_open: it has not been closed yet.
        failure: what it raised, `Quit` included, before it was closed; None as long as it works.
        close_failure: what its `close` raised.
    """

    def __init__(
        self, sink: Sink, results: Channel[Result], stats: StreamStats, on_written: Callable[[Result], None]
    ) -> None:
        """Put `results` in front of `sink`; `on_written` is called with each result that the sink has taken."""
        self.sink, self.results = sink, results
        self.is_open = True
        self.failure: BaseException | None = None
        self.close_failure: BaseException | None = None
        self._stats, self._on_written = stats, on_written

    def put(self, result: Result) -> None:
        """Let `result` wait for the sink; nothing happens once the sink is closed."""
        with suppress(Cancelled):
            self.results.put(result)

    def step(self, timeout: float, is_paused: bool = False) -> Result | None:
        """Hand over one result and return it; if none comes in time, let the sink do its idle work and return None.

        The sink is closed once no more results will come, and after an error.
        """
        try:
            return self._hand_over(timeout, is_paused)
        except (Cancelled, Finished):
            pass
        except BaseException as error:
            self.failure = error
        self._close()
        return None

    def _hand_over(self, timeout: float, is_paused: bool) -> Result | None:
        try:
            if is_paused:
                time.sleep(timeout)
                raise Empty
            result = self.results.get(timeout)
        except Empty:
            self.sink.idle()
            return None
        with self._stats.timing("write"):
            self.sink.write(result)
        self._on_written(result)
        return result

    def _close(self) -> None:
        self.results.cancel()
        try:
            self.sink.close()
        except BaseException as error:
            self.close_failure = error
        self.is_open = False
