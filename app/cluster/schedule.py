"""Gives tasks to workers until every input is done: the loop of `app.annotate --ray`."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from app.annotation.settings import Settings
from app.cluster.archive_input import MAX_LOST_WORKERS, ArchiveInput, Task
from app.cluster.chunk import Plan
from app.cluster.chunk_worker import Annotated
from app.cluster.pool import Done, Event, Failed, Pool, WorkerState

Show: TypeAlias = Callable[[Sequence[ArchiveInput], Sequence[WorkerState]], None]

WAIT_SECONDS = 0.5


class Schedule:
    """The tasks of all inputs, in order.

    The chunks of an input come before the plan of the next one, so that inputs are finished one after the other, and
    few chunks wait on the disk. Where no chunk is left, free workers plan the next inputs, so that none is idle.
    """

    def __init__(self, inputs: Sequence[ArchiveInput], settings: Settings, length: int) -> None:
        """Plan nothing yet.

        Args:
            inputs: what is to be done.
            settings: of all of them.
            length: frames of a chunk.
        """
        self._inputs, self._settings, self._length = inputs, settings, length
        self._tasks = deque(task for one in inputs for task in one.first_tasks())
        self._running = 0

    def run(self, pool: Pool, show: Show, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Work until everything is done, or failed.

        Args:
            pool: the workers.
            show: is told about twice a second how it goes on.
            should_stop: asked as often; True ends the work.

        Raises:
            KeyboardInterrupt: somebody wanted to stop. What was done is kept.
            AppError: no worker is left.
            DiskError: an output cannot be written.
        """
        while self._tasks or self._running:
            if should_stop():
                raise KeyboardInterrupt
            while self._tasks and pool.free():
                task = self._tasks.popleft()
                if not task.is_obsolete:
                    pool.give(task, self._settings, self._length)
                    self._running += 1
            for event in pool.wait(WAIT_SECONDS):
                self._running -= 1
                self._tasks.extendleft(reversed(self._after(event)))
            show(self._inputs, pool.states())

    def _after(self, event: Event) -> list[Task]:
        """Return the tasks that are to be done because of what has happened, the most urgent first."""
        task = event.task
        if isinstance(event, Done):
            if task.chunk is None:
                return task.owner.planned(event.answer) if not isinstance(event.answer, Annotated) else []
            return task.owner.annotated(task.chunk, event.answer) if not isinstance(event.answer, Plan) else []
        if isinstance(event, Failed):
            return task.owner.fail(f"a bug of this program ({event.reason}), whose traceback is printed")
        task.lost_workers += 1
        print(f"\n{event.worker} ended while it did {task.label}, which is done again", file=sys.stderr)
        if task.lost_workers < MAX_LOST_WORKERS:
            return [task]
        return task.owner.fail(f"{task.label} ended {MAX_LOST_WORKERS} workers, and is not tried again")
