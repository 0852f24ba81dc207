"""From the mailboxes of all lanes to batches for the predictor."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.stream.channel import Cancelled, Finished, wait_for_any
from app.stream.frames import Frame
from app.stream.lane import RunningLane

if TYPE_CHECKING:
    from solov2 import Instances

DEADLINE_SECONDS = 0.005


@dataclass(slots=True, eq=False)
class Batch:
    """Frames that go to the predictor together.

    Attributes:
        frames: each with its lane, and what is known about it already.
        ended: lanes whose frames have ended with this batch.
    """

    frames: "list[tuple[RunningLane, Frame, Instances | None]]" = field(default_factory=list)
    ended: list[RunningLane] = field(default_factory=list)


class Collector:
    """Takes the newest frame of every live source that has one, and of files as many as fit, in order.

    A batch is handed out once it is full, once every live lane has given its frame, or `DEADLINE_SECONDS` after the
    first live frame: a source that is slow or silent holds up nobody. Files alone fill their batches whatever time it
    takes, so that these are the same in every run. Who was served least recently comes first.
    """

    def __init__(self, lanes: Sequence[RunningLane], batch_size: int) -> None:
        """Collect up to `batch_size` frames at a time from `lanes`, which share one condition."""
        self._open = list(lanes)
        self._batch_size = batch_size
        self._changed = lanes[0].shared.frames_changed

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches until every lane has ended; only one thread at a time may ask for the next."""
        while self._open:
            yield self._next_batch()

    def _next_batch(self) -> Batch:
        batch = Batch()
        due_at: float | None = None
        while not batch.ended and (waited_for := self._not_yet_in(batch)):
            remaining = None if due_at is None else max(0.0, due_at - time.monotonic())
            if not wait_for_any([lane.frames for lane in waited_for], self._changed, remaining):
                break
            for lane in waited_for:
                if len(batch.frames) < self._batch_size:
                    self._take(lane, batch)
            if due_at is None and any(lane.lane.source.is_live for lane, _, _ in batch.frames):
                due_at = time.monotonic() + DEADLINE_SECONDS
        return batch

    def _not_yet_in(self, batch: Batch) -> list[RunningLane]:
        """The lanes that may add to `batch`: a file as often as it likes, a live source once."""
        if len(batch.frames) == self._batch_size:
            return []
        inside = [lane for lane, _, _ in batch.frames]
        return [lane for lane in self._open if not (lane.lane.source.is_live and lane in inside)]

    def _take(self, lane: RunningLane, batch: Batch) -> None:
        """Move a frame that waits in the mailbox of `lane` to `batch`, or note that there will be no more."""
        if not lane.frames.is_ready:
            return
        self._open.remove(lane)
        try:
            frame = lane.frames.get(timeout=0)
            if lane.is_stale(frame):
                lane.lane.stats.dropped("stale")
            else:
                frame = frame.convert()
                batch.frames.append((lane, frame, lane.lane.recall(frame) if lane.lane.recall else None))
        except (Cancelled, Finished):
            batch.ended.append(lane)
        except BaseException as error:
            lane.shared.failures.append(error)
            lane.frames.cancel()
            batch.ended.append(lane)
        else:
            self._open.append(lane)
