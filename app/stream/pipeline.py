"""The data flow of a stream. Read this first.

    source ─▶ mailbox ─┐                                          ┌─▶ queue ─▶ window
    source ─▶ mailbox ─┼─▶ collector ─▶ predictor ─▶ lane of each │
    source ─▶ mailbox ─┘   (a batch of    (owns the   source:     ├─▶ queue ─▶ video file
                            the newest,    device)    processors, │
                            by deadline)              then sinks  └─▶ queue ─▶ page

A frame's way, and the thread that carries it:

1. "capture", one for each source, reads frames into the lane's mailbox. The mailbox of a live source holds the newest
   frame alone; that of a file holds a few, and the file waits.
2. "predict", one for all lanes, takes batches from the mailboxes, has a live frame converted to RGB, asks the predictor
   what is in it, and leaves out what the lane's controls do not let through.
3. "process", one for each lane, lets the processors work on the result, and puts it into the queue of each sink.
4. A thread for each sink takes results from its queue. The first sink that asks for the picture draws it; the others
   get the same one. Windows live in the caller's thread: it serves the queues of such sinks.

A file is read whole and in order, at the pace of the slowest part. Of a live source each part takes the newest that
waits; what that replaced is counted as dropped: under "capture" before the predictor, "display" before the processors
or a viewer, "sink" before a sink that wants every result.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from app.stream.channel import wait_for_any
from app.stream.frames import Result
from app.stream.lane import TICK_SECONDS, Lane, RunningLane, Shared
from app.stream.predict import predict_all
from app.stream.threads import start

if TYPE_CHECKING:
    from solov2.predictor import Predictor


class Stream:
    """Carries the frames of every lane's source through one predictor to the lane's sinks, once."""

    def __init__(
        self, lanes: Sequence[Lane], predictor: "Predictor", should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            lanes: at least one.
            predictor: shared by all lanes.
            should_stop: asked some twenty times a second; True ends the run as the end of the sources does.
        """
        self._shared = Shared(predictor.class_names)
        self._lanes = [RunningLane(lane, self._shared) for lane in lanes]
        self._predictor, self._should_stop = predictor, should_stop

    def run(self) -> None:
        """Carry the frames until all sources have ended, or somebody wants to stop; see `results` for errors."""
        with closing(self.results()) as results:
            for _ in results:
                pass

    def results(self) -> Generator[Result, None, None]:
        """Run, and yield each result that a sink of the caller's thread has taken.

        Closing the generator ends the run; what was given to the sinks is still handed over to them.

        Raises:
            Exception: what a part raised, after everything that came before it was written. If a source of several
                fails, the other lanes go on, and the error comes at their end. Quit ends the run without an error.
        """
        threads = [start("predict", predict_all, self._predictor, self._lanes)]
        try:
            for lane in self._lanes:
                threads += lane.start()
            while any(lane.is_open for lane in self._lanes):
                self._stop_if_wanted()
                yield from self._serve_sinks()
        except GeneratorExit:
            self._shared.stopping.set()
            while any(lane.is_open for lane in self._lanes):
                self._stop_if_wanted()
                list(self._serve_sinks())
        finally:
            self._end(threads)
        self._raise_failure()

    def _stop_if_wanted(self) -> None:
        if self._should_stop():
            self._shared.stopping.set()
        if self._shared.stopping.is_set():
            for lane in self._lanes:
                lane.end()

    def _serve_sinks(self) -> Iterator[Result]:
        """Serve the sinks of the caller's thread once, waiting a little for something to do; yield what they took."""
        here = [(lane, queue) for lane in self._lanes for queue in lane.queues_of_caller]
        if here:
            waiting = [queue.results for lane, queue in here if not lane.is_paused]
            wait_for_any(waiting, self._shared.results_changed, TICK_SECONDS)
        else:
            self._shared.news.wait(TICK_SECONDS)
            self._shared.news.clear()
        for lane, queue in here:
            if (result := lane.step(queue, timeout=0)) is not None:
                yield result

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """End what still runs, and let go of what waits; a source that is being read takes its timeout at most."""
        self._shared.stopping.set()
        for lane in self._lanes:
            lane.end()
            for queue in lane.queues:
                queue.results.cancel()
            for queue in lane.queues_of_caller:
                lane.step(queue, timeout=0)
        for thread in threads:
            thread.join()

    def _raise_failure(self) -> None:
        queues = [queue for lane in self._lanes for queue in lane.queues]
        closing = [queue.close_failure for queue in queues if queue.close_failure is not None]
        for failure in (*self._shared.failures, *closing):
            raise failure
