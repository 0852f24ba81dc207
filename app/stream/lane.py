"""What belongs to one source alone: its frames, its results, its processors and its sinks."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from app.stream.channel import Cancelled, Channel
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import AddReadout, Draw, Frame, Hidden, Picture, Result
from app.stream.parts import Processor, Quit, Sink, Source
from app.stream.sink_queue import LIVE_RESULTS_WAITING, SinkQueue, make_queue
from app.stream.stats import StreamStats
from app.stream.threads import propagate_outcome, start

if TYPE_CHECKING:
    from solov2 import Instances

TICK_SECONDS = 0.05
FRAMES_WAITING = 4
FRAMES_WAITING_WATCHED = 1  # where somebody looks on and moves sliders

Recall: TypeAlias = Callable[[Frame], "Instances | None"]


@dataclass(frozen=True, eq=False)
class Lane:
    """One source and what happens to its frames.

    Attributes:
        source: read in a thread of its own, and closed at the end.
        sinks: each is closed at the end, whatever happened.
        processors: change a result one after another, in a thread of the lane.
        draw: makes the picture of a result, in the thread of the first sink that asks for it; None shows the frame.
        add_readout: returns that picture with the read-out on it, for viewers; None adds none.
        panel: threshold and classes are read at each frame's start. While its controls say paused, a live source is
            read and discarded, and any other waits.
        stats: counts what happens.
        recall: asked first what is in a frame, in order; the predictor gets the frames of which this returns None.
        max_age_seconds: live frames that are older when the predictor could take them are dropped, and counted as
            "stale"; None takes all.
        score_slack: instances whose score is lower than the threshold by up to that reach the processors, too, which
            leave out what is not to be shown; see `app.processors.steadying`.
        max_frames: the lane ends after so many results; None goes on to the source's end.
        frames_waiting: how many frames of a source that is not live may wait for the predictor. The fewer, the younger
            is what somebody looks at; more make up for a source that is read unevenly.
    """

    source: Source
    sinks: Sequence[Sink] = ()
    processors: Sequence[Processor] = ()
    _: KW_ONLY
    draw: Draw | None = None
    add_readout: AddReadout | None = None
    panel: ControlPanel = field(default_factory=ControlPanel)
    stats: StreamStats = field(default_factory=StreamStats)
    recall: Recall | None = None
    max_age_seconds: float | None = None
    score_slack: float = 0.0
    max_frames: int | None = None
    frames_waiting: int = FRAMES_WAITING


@dataclass(frozen=True, slots=True)
class Search:
    """What the predictor looked for in a frame.

    Attributes:
        threshold: the least score.
        labels: None means all.
    """

    threshold: float
    labels: tuple[int, ...] | None

    def includes(self, labels: tuple[int, ...] | None) -> bool:
        """Whether all of `labels`, None for all, were looked for."""
        return self.labels is None or (labels is not None and set(labels) <= set(self.labels))


@dataclass(frozen=True, eq=False)
class Shared:
    """What the lanes of a running stream have in common.

    Attributes:
        class_names: the name of each label.
        frames_changed: notified when a mailbox changes.
        results_changed: notified when a queue changes that the caller's thread serves.
        stopping: set when the run has to end before its sources do.
        news: set whenever the caller's thread should look what has happened.
        failures: what went wrong, in the order of time.
    """

    class_names: Sequence[str]
    frames_changed: threading.Condition = field(default_factory=threading.Condition)
    results_changed: threading.Condition = field(default_factory=threading.Condition)
    stopping: threading.Event = field(default_factory=threading.Event)
    news: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)

    def stop(self, failure: BaseException) -> None:
        """Let the run end because of an error, or because somebody quits."""
        if not isinstance(failure, Quit):
            self.failures.append(failure)
        self.stopping.set()
        self.news.set()


class RunningLane:
    """A lane while its stream runs: its queues, and the work of its threads.

    Attributes:
        lane: the parts.
        frames: the mailbox: what was captured and waits for the predictor.
        results: what was found and waits for the processors.
        queues: what was processed and waits for the sinks.
    """

    def __init__(self, lane: Lane, shared: Shared) -> None:
        """Open the queues; nothing runs yet."""
        self.lane, self.shared = lane, shared
        stats, is_live = lane.stats, lane.source.is_live
        if is_live:
            self.frames: Channel[Frame] = Channel(
                1, "drop_oldest", lambda: stats.dropped("capture"), shared.frames_changed
            )
            self.results: Channel[Result] = Channel(1, "drop_oldest", lambda: stats.dropped("display"))
        else:
            self.frames, self.results = Channel(lane.frames_waiting, changed=shared.frames_changed), Channel(2)
        self.queues = []
        for sink in lane.sinks:
            changed = shared.results_changed if sink.in_callers_thread else threading.Condition()
            self.queues.append(SinkQueue(sink, make_queue(sink, is_live, stats, changed), stats, self._count_written))
        self._is_processed = False
        self._written: deque[int] = deque(maxlen=4 * LIVE_RESULTS_WAITING)  # further apart no two sinks can be
        self._lock = threading.Lock()

    def start(self) -> list[threading.Thread]:
        """Start the threads that capture, process, and serve the sinks that the caller's thread does not serve."""
        threads = [start("capture", self._capture), start("process", self._process)]
        own = [queue for queue in self.queues if not queue.sink.in_callers_thread]
        return threads + [start(f"sink_{type(queue.sink).__name__}", self._serve, queue) for queue in own]

    @property
    def queues_of_caller(self) -> list[SinkQueue]:
        """The open queues that the caller's thread serves."""
        return [queue for queue in self.queues if queue.is_open and queue.sink.in_callers_thread]

    def end(self) -> None:
        """Let no more results come; those that the sinks have waiting are still handed over."""
        self.frames.cancel()
        self.results.cancel()
        self.lane.source.close()

    def step(self, queue: SinkQueue, timeout: float) -> Result | None:
        """Serve a sink once, as `SinkQueue.step` does; an error of it ends the run."""
        result = queue.step(timeout, self.is_paused)
        if not queue.is_open:
            if queue.failure is not None:
                self.shared.stop(queue.failure)
            self.shared.news.set()
        return result

    @property
    def is_open(self) -> bool:
        """Whether there is, or may come, something for a sink."""
        return not self._is_processed or any(queue.is_open for queue in self.queues)

    @property
    def is_paused(self) -> bool:
        """Whether the lane stands still, as a file does while its controls say paused."""
        return self._controls.paused and not self.lane.source.is_live and not self.shared.stopping.is_set()

    def is_stale(self, frame: Frame) -> bool:
        """Whether a live frame is too old to be looked at."""
        limit = self.lane.max_age_seconds
        return self.lane.source.is_live and limit is not None and frame.age_seconds() > limit

    @property
    def score_threshold(self) -> float:
        """Instances below it need not be found: that of the controls, less what the processors want to see below it."""
        controls = self._controls
        shown = max(0.0, controls.score_threshold - self.lane.score_slack)
        return min(shown, controls.search_threshold)

    @property
    def labels(self) -> tuple[int, ...] | None:
        """The labels of the classes that need be found; None means all."""
        return self._labels(self._controls.search_classes)

    def found(self, frame: Frame, instances: "Instances", search: Search, steps_ms: Mapping[str, float]) -> Result:
        """Return the result of a frame, without what the controls do not let through now.

        Args:
            frame: the frame.
            instances: all that `search` found.
            search: what was looked for. The controls may have changed since.
            steps_ms: see `Result`.
        """
        controls = self._controls
        keep = instances.scores >= max(0.0, controls.score_threshold - self.lane.score_slack)
        if (labels := self._labels(controls.classes)) is not None:
            keep &= np.isin(instances.labels, labels)
        shown = instances if keep.all() else instances.select(keep)
        return replace(self._result(frame, shown, steps_ms), hidden=self._hidden(controls, instances, search))

    def _hidden(self, controls: Controls, instances: "Instances", search: Search) -> Hidden | None:
        """Return what effects hide; None if none does, or if not all of that was looked for."""
        labels = self._labels(controls.hidden_classes)
        if not controls.hides or search.threshold > controls.search_threshold or not search.includes(labels):
            return None
        hide = instances.scores >= controls.search_threshold
        if labels is not None:
            hide &= np.isin(instances.labels, labels)
        return Hidden(instances.select(hide), controls.hidden_classes)

    def _labels(self, classes: frozenset[str] | None) -> tuple[int, ...] | None:
        if classes is None:
            return None
        return tuple(label for label, name in enumerate(self.shared.class_names) if name in classes)

    def result_of(self, frame: Frame, instances: "Instances") -> Result:
        """Return the result of a frame about which everything is known."""
        return self._result(frame, instances, {})

    def _result(self, frame: Frame, instances: "Instances", steps_ms: Mapping[str, float]) -> Result:
        return Result(frame, instances, steps_ms, draw=self._draw, add_readout=self.lane.add_readout)

    @property
    def _controls(self) -> Controls:
        return self.lane.panel.current

    def _capture(self) -> None:
        """Read the source to its end. What a file gives is converted here, as none of it is dropped."""
        source, stats = self.lane.source, self.lane.stats
        with propagate_outcome(self.frames):
            for frame in source:
                stats.captured()
                if not source.is_live:
                    self.frames.put(frame.convert())
                elif self._controls.paused:
                    stats.dropped("paused")
                else:
                    self.frames.put(frame)

    def _process(self) -> None:
        """Let the processors work on each result, then give it to every sink."""
        try:
            for number, result in enumerate(self.results, start=1):
                while self.is_paused:
                    self.shared.stopping.wait(TICK_SECONDS)
                self._give_to_sinks(self._processed(result))
                if number == self.lane.max_frames:
                    self.end()
                    break
        except Cancelled:
            pass
        except BaseException as error:
            self.shared.stop(error)
        finally:
            for queue in self.queues:
                queue.results.finish()
            self._is_processed = True
            self.shared.news.set()

    def _processed(self, result: Result) -> Result:
        for processor in self.lane.processors:
            result = processor(result)
        self.lane.stats.segmented(result.steps_ms)
        return result

    def _give_to_sinks(self, result: Result) -> None:
        for queue in self.queues:
            queue.put(result)
        if not self.queues:
            self._count_written(result)

    def _serve(self, queue: SinkQueue) -> None:
        while queue.is_open:
            self.step(queue, TICK_SECONDS)

    def _draw(self, result: Result) -> Picture:
        with self.lane.stats.timing("draw"):
            return result.frame.image if self.lane.draw is None else self.lane.draw(result)

    def _count_written(self, result: Result) -> None:
        """Count a result as displayed when the first of the sinks has taken it."""
        with self._lock:
            if result.frame.index in self._written:
                return
            self._written.append(result.frame.index)
        self.lane.stats.displayed(result.frame.age_seconds())
