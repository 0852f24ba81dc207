"""What the schedule asks of a pool of workers, wherever they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.annotation.settings import Settings
from app.cluster.archive_input import Task
from app.cluster.chunk import Plan
from app.cluster.chunk_worker import Annotated, Refused

Answer: TypeAlias = Plan | Annotated | Refused


@dataclass(frozen=True, slots=True)
class Done:
    """A worker has done its task."""

    task: Task
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker met a bug of this program: its `reason` is the exception's name. The worker itself goes on."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has ended while it did its task."""

    task: Task
    worker: str


Event: TypeAlias = Done | Failed | Lost


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker does, for people.

    Attributes:
        name: its number and host.
        pid: of its process, 0 before it answers.
        doing: "starting", "free", "ended", or the label of its task.
        chunks, frames, busy_seconds: what it has done so far.
    """

    name: str
    pid: int
    doing: str
    chunks: int
    frames: int
    busy_seconds: float

    @property
    def fps(self) -> float:
        """Frames per second of work."""
        return self.frames / self.busy_seconds if self.busy_seconds else 0.0


class Pool(Protocol):
    """Workers that take one task each."""

    def free(self) -> int:
        """Return how many workers could begin a task now."""
        ...

    def give(self, task: Task, settings: Settings, length: int) -> None:
        """Let a free worker begin a task; a plan makes chunks of `length` frames."""
        ...

    def wait(self, timeout_seconds: float) -> list[Event]:
        """Return what has happened, at once if something has, else after the timeout.

        Raises:
            AppError: no worker is left, and no new one starts.
        """
        ...

    def states(self) -> Sequence[WorkerState]:
        """Return what each worker does, those included that have ended."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...
