"""Workers as Ray actors: each holds one model, and is replaced when it dies."""

import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError as AnyRayError
from ray.exceptions import RayTaskError

from app.annotation.settings import Settings
from app.cluster.archive_input import Task
from app.cluster.chunk_worker import Annotated, ChunkWorker, ModelOptions, OpenModel, Ready, Refused
from app.cluster.identity import difference, program_identity
from app.cluster.pool import Done, Event, Failed, Lost, WorkerState
from app.cluster.ray_address import LOCAL, RayError, check_answers, quiet_ray
from app.cluster.ray_share import Share, choose_share
from app.stream_errors import AppError

MAX_FAILED_STARTS = 3  # one after the other
LOCAL_STORE_BYTES = 256 << 20  # results of chunks pass through it


@dataclass(eq=False, slots=True)
class _Worker:
    """An actor, and what is known of it.

    Attributes:
        number: 1, 2, ...; a replacement gets a new one.
        actor, ref: Ray's handles of it and of what it does now.
        ready: what it said of itself; None before.
        task: that it does; None while it loads the model, or is free.
    """

    number: int
    actor: Any
    ref: Any = None
    ready: Ready | None = None
    task: Task | None = None
    is_gone: bool = False
    chunks: int = 0
    frames: int = 0
    busy_seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        where = f" on {self.ready.host} (process {self.ready.pid})" if self.ready else ""
        return f"worker {self.number}{where}"

    def state(self) -> WorkerState:
        doing = "ended" if self.is_gone else "starting" if self.ready is None else "free"
        pid = self.ready.pid if self.ready else 0
        doing = self.task.label if self.task else doing
        return WorkerState(self.name, pid, doing, self.chunks, self.frames, self.busy_seconds)


class RayPool:
    """A `Pool` of Ray actors. Of all that Ray prints, nothing reaches standard output.

    Attributes:
        ready: what the first worker said of itself; all others must say the same.
        share: how many workers there are, and what each gets.
    """

    def __init__(self, address: str, wanted: int | None, options: ModelOptions, opener: OpenModel) -> None:
        """Connect, start the workers, and wait for the first model.

        Args:
            address: see `app.cluster.ray_address`.
            wanted: how many workers; None lets the cluster decide.
            options: of the model.
            opener: loads it; an importable function.

        Raises:
            RayError: no cluster answers, or no worker starts there.
            SOLOv2Error: the model cannot be loaded.
        """
        self._options, self._opener = options, opener
        self._first: Ready | None = None
        self._undo = ExitStack()
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        with ExitStack() as undo:
            silence = undo.enter_context(open(os.devnull, "w"))
            undo.enter_context(redirect_stdout(silence))
            undo.callback(ray.shutdown)
            connect(address)
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self.share: Share = choose_share(nodes, wanted, options.device)
            for _ in range(self.share.workers):
                self._start()
            while self._first is None:
                self.wait(1.0)
            self.ready: Ready = self._first
            self._undo = undo.pop_all()

    def free(self) -> int:
        """Return how many workers could begin a task now."""
        return sum(worker.ref is None and not worker.is_gone for worker in self._workers)

    def give(self, task: Task, settings: Settings, length: int) -> None:
        """Let a free worker begin a task."""
        worker = next(worker for worker in self._workers if worker.ref is None and not worker.is_gone)
        worker.task, worker.began = task, time.monotonic()
        if task.chunk is None:
            worker.ref = worker.actor.plan.remote(task.owner.input, settings, length)
        else:
            worker.ref = worker.actor.annotate.remote(task.work)

    def wait(self, timeout_seconds: float) -> list[Event]:
        """Return what has happened; raise AppError if no worker is left."""
        at_work = {worker.ref: worker for worker in self._workers if worker.ref is not None}
        if not at_work:
            if not self.free():
                raise RayError("no worker is left: see what was said about each of them")
            return []
        done, _ = ray.wait(list(at_work), num_returns=1, timeout=timeout_seconds)
        more, _ = ray.wait(list(at_work), num_returns=len(at_work), timeout=0)
        events = [self._ended(at_work[ref]) for ref in dict.fromkeys([*done, *more])]
        return [event for event in events if event is not None]

    def states(self) -> Sequence[WorkerState]:
        """Return what each worker does."""
        return [worker.state() for worker in self._workers]

    def close(self) -> None:
        """End all workers, and a local cluster."""
        for worker in self._workers:
            if not worker.is_gone:
                with suppress(AnyRayError):
                    ray.kill(worker.actor)
        self._undo.close()

    def _start(self) -> None:
        actor = ray.remote(ChunkWorker).options(
            num_cpus=self.share.cpus, num_gpus=self.share.gpus, max_restarts=0, max_task_retries=0
        )
        worker = _Worker(len(self._workers) + 1, actor.remote(self._options, self._opener, os.getcwd()))
        worker.ref = worker.actor.open.remote()
        self._workers.append(worker)

    def _ended(self, worker: _Worker) -> Event | None:
        """Take what a worker has to say."""
        ref, worker.ref = worker.ref, None
        task, worker.task = worker.task, None
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            if task is None:
                raise
            traceback.print_exception(error)
            return Failed(task, type(error.cause).__name__)
        except AnyRayError:
            return self._lost(worker, task)
        if task is None:
            self._started(worker, answer)
            return None
        worker.busy_seconds += time.monotonic() - worker.began
        if isinstance(answer, Annotated):
            worker.chunks, worker.frames = worker.chunks + 1, worker.frames + answer.frames
        return Done(task, answer)

    def _started(self, worker: _Worker, answer: Ready | Refused) -> None:
        """Take a worker whose model is loaded, unless it would find other things than this machine or the others."""
        if isinstance(answer, Refused):
            raise AppError(answer.message)
        worker.ready, self._failed_starts = answer, 0
        complaint = difference(program_identity(), answer.identity)
        if complaint is None and self._first is not None and self._first.header != answer.header:
            name = next(name for name, value in self._first.header.items() if answer.header.get(name) != value)
            complaint = f"has {name} {answer.header[name]}, and another worker {self._first.header[name]}"
        if complaint is not None:
            worker.is_gone = True
            ray.kill(worker.actor)
            print(f"{worker.name} is refused: it {complaint}", file=sys.stderr)
        else:
            self._first = self._first or answer

    def _lost(self, worker: _Worker, task: Task | None) -> Event | None:
        """Replace a worker that has ended.

        Raises:
            RayError: too many have ended before they could begin.
        """
        worker.is_gone = True
        if worker.ready is None:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise RayError(f"{MAX_FAILED_STARTS} workers ended while they loaded the model: is memory short there?")
        self._start()
        return None if task is None else Lost(task, worker.name)


def connect(address: str) -> None:
    """Connect to a cluster, or start one on this machine; raise RayError if that fails."""
    quiet_ray()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != LOCAL:
        check_answers(address)
        ray.init(address=address, **quiet)
        return
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    local: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    for tries_left in reversed(range(MAX_FAILED_STARTS)):
        try:
            ray.init(address=LOCAL, **local, **quiet)
            return
        except Exception as error:  # Ray raises a bare one where its processes take more than 30 seconds to start
            ray.shutdown()
            if not tries_left:
                raise RayError(f"Ray could not start on this machine: {str(error).partition(chr(10))[0]}") from error
