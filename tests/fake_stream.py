"""The parts of a stream, made up: a source of small frames, a predictor that finds nothing, a sink that remembers."""

import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from app.stream.frames import Frame, Picture, Result
from app.stream.parts import Policy, Sink
from solov2 import Instances


@dataclass
class FakeSource:
    """Gives `count` small frames, then raises `error` if there is one. `before_frame` is called with each index."""

    count: int
    is_live: bool = False
    error: Exception | None = None
    before_frame: Callable[[int], object] = lambda index: None
    source_id: str = "fake"
    frame_rate: float | None = 30.0
    frame_count: int | None = None
    frame_hw: tuple[int, int] = (4, 6)
    time_base: Fraction = Fraction(1, 90000)
    closed: int = 0
    given: int = 0

    def __iter__(self) -> Any:
        for index in range(self.count):
            self.before_frame(index)
            image = np.full((*self.frame_hw, 3), index % 256, np.uint8)
            self.given += 1
            yield Frame(image, index * 3003, self.time_base, time.monotonic(), self.source_id, index)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


def nothing_in(image: Picture) -> Instances:
    """No instances in a picture."""
    return Instances.empty((image.shape[0], image.shape[1]))


@dataclass
class FakePredictor:
    """Finds in each image what `find` says, nothing by default.

    Calls `before_batch` with the first pixel of each image, which is the index of a fake frame.
    """

    before_batch: Callable[[list[int]], object] = lambda indices: None
    class_names: tuple[str, ...] = ("person", "cat")
    workers: int = 1
    batch_size: int = 1
    find: Callable[[Picture], Instances] = nothing_in
    times_steps: bool = True
    asked: deque[tuple[float, tuple[int, ...] | None]] = field(default_factory=lambda: deque(maxlen=100))

    def predict_batch(
        self,
        images: Sequence[Picture],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        self.before_batch([int(image[0, 0, 0]) for image in images])
        self.asked.append((score_threshold, None if labels is None else tuple(labels)))
        if steps_ms is not None and self.times_steps:
            steps_ms["network"] = 1.0
        return [self.find(image) for image in images]


def set_at(event: threading.Event, index: int) -> Callable[[Result], None]:
    """Return what a sink may do when it writes: set `event` once the frame with this index has come."""

    def look(result: Result) -> None:
        if result.frame.index >= index:
            event.set()

    return look


@dataclass
class FakeSink(Sink):
    """Remembers the indices of what was written."""

    policy: Policy = "every"  # type: ignore[misc]
    in_callers_thread: bool = False  # type: ignore[misc]
    on_write: Callable[[Result], object] = lambda result: None
    on_idle: Callable[[], object] = lambda: None
    on_close: Callable[[], object] = lambda: None
    written: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    idled: int = 0
    closed: int = 0

    def write(self, result: Result) -> None:
        self._note_thread()
        self.on_write(result)
        self.written.append(result.frame.index)

    def idle(self) -> None:
        self.idled += 1
        self.on_idle()

    def close(self) -> None:
        self._note_thread()
        self.closed += 1
        self.on_close()

    def _note_thread(self) -> None:
        self.threads.add(threading.current_thread().name)
