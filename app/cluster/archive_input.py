"""One input on its way through the workers: planned, annotated chunk by chunk, and merged as its chunks come."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.annotation.inputs import Input
from app.annotation.job import Job
from app.annotation.jsonl_file import Recording
from app.annotation.object_store import LocalCopies
from app.annotation.outcome import Outcome
from app.cluster.chunk import WHOLE, Chunk, Plan
from app.cluster.chunk_files import ChunkFiles
from app.cluster.chunk_worker import Annotated, ChunkWork, Refused
from app.cluster.merging import Merger
from app.sources.stretch_decoding import InexactError
from app.stream_errors import DiskError
from solov2.errors import SOLOv2Error

MAX_LOST_WORKERS = 3  # by one and the same piece of work


@dataclass(eq=False, slots=True)
class Task:
    """A piece of work for one worker: the plan of an input, or one of its chunks.

    Attributes:
        owner: the input.
        chunk: None asks for the plan.
        lost_workers: how many workers have ended while they did it.
    """

    owner: "ArchiveInput"
    chunk: Chunk | None = None
    lost_workers: int = 0

    @property
    def work(self) -> ChunkWork:
        """What the worker gets for a chunk."""
        return self.owner.work(self.chunk or WHOLE)

    @property
    def is_obsolete(self) -> bool:
        """Whether nobody needs it any more: the input was given up, or is read as a whole."""
        return self.owner.failure is not None or (self.chunk is not None and not self.owner.needs(self.chunk))

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.owner.input.name} {'plan' if self.chunk is None else self.chunk.name}"


class ArchiveInput:
    """Knows what is to be done for one input, and puts the results of its chunks together.

    Attributes:
        input: the input.
        failure: why it cannot be annotated; None where nothing went wrong.
        frames: that are done, waiting ones included; `expected` of them there will be, None where unknown.
        new_frames: that this run annotated.
    """

    def __init__(self, job: Job, one: Input) -> None:
        """Do nothing yet."""
        self.input = one
        self.failure: str | None = None
        self.frames = self.new_frames = 0
        self.expected: int | None = None
        self._job, self._folder = job, job.out / one.name
        self._recording = Recording(self._folder)
        self._waiting: list[Chunk] = []  # not merged yet, in order
        self._began = time.perf_counter()
        self._seconds = 0.0

    def first_tasks(self) -> list[Task]:
        """Return what can be done now: nothing where all frames are recorded."""
        return [] if self._recording.is_whole() else [Task(self)]

    def work(self, chunk: Chunk) -> ChunkWork:
        """Return what a worker needs to know about a chunk."""
        return ChunkWork(self.input, chunk, self._job.settings, self._plan.source)

    def needs(self, chunk: Chunk) -> bool:
        """Whether the result of a chunk is still wanted."""
        return any(chunk.first == one.first and chunk.is_whole == one.is_whole for one in self._waiting)

    def planned(self, plan: Plan | Refused) -> list[Task]:
        """Take the plan; return the chunks that are to be done.

        Raises:
            DiskError: an output cannot be written.
        """
        if isinstance(plan, Refused):
            return self.fail(plan.message)
        self._plan, self._began = plan, time.perf_counter()
        try:
            return self._begin(plan.chunks)
        except DiskError:
            raise
        except SOLOv2Error as error:
            return self.fail(str(error))

    def annotated(self, chunk: Chunk, result: Annotated | Refused) -> list[Task]:
        """Take the result of a chunk; return what is to be done because of it, which is nothing where all is well.

        Raises:
            DiskError: an output cannot be written.
        """
        if self.failure is not None or not self.needs(chunk):
            return []  # of a plan that was given up
        if isinstance(result, Refused):
            return self.fail(result.message)
        if result.inexact is not None:
            return self._read_as_a_whole()
        self._files.write(chunk, result)
        self.new_frames += result.frames
        self.frames += result.frames
        return self._merge()

    def fail(self, message: str) -> list[Task]:
        """Give the input up; what was recorded stays."""
        self.failure = message
        return []

    def finish(self, copies: LocalCopies) -> Outcome:
        """Make the other outputs from the lines, as one machine does, and say what became of the input.

        Args:
            copies: makes the copy from which a video is drawn.

        Raises:
            DiskError: an output cannot be written.
        """
        if self.failure is not None:
            outcome = Outcome.read(self._folder, self.input.shown)
            outcome.problem = self.failure
        else:
            outcome = self._job.do(copies.local(self.input) if self._job.wanted.video else self.input)
            if outcome.input != self.input.shown:
                outcome.input = self.input.shown
                outcome.save(self._folder)
        outcome.new_frames, outcome.seconds = self.new_frames, outcome.seconds + self._seconds
        outcome.is_new = outcome.is_new or self.new_frames > 0
        return outcome

    def _begin(self, chunks: Sequence[Chunk]) -> list[Task]:
        job = self._job
        header = job.header_of(self.input, self._plan.source)
        self._files = ChunkFiles(self._folder, header)
        self._merger = Merger(self._recording, header, job.settings.batch, job.settings.track)
        self._waiting = [chunk for chunk in chunks if self._merger.needs(chunk)]
        self.expected = self._plan.expected
        missing = [chunk for chunk in self._waiting if self._files.find(chunk) is None]
        self.frames = (self.expected or 0) - sum(len(chunk.frames) for chunk in missing)
        return [Task(self, chunk) for chunk in missing] + self._merge()

    def _merge(self) -> list[Task]:
        """Append the chunks that are next in order; finish the recording behind the last one."""
        try:
            while self._waiting and (stored := self._files.find(self._waiting[0])) is not None:
                self._merger.append(self._waiting[0], stored)
                del self._waiting[0]
        except InexactError:
            return self._read_as_a_whole()
        if not self._waiting:
            self._finish_recording()
        return []

    def _finish_recording(self) -> None:
        outcome = Outcome(self.input.shown, self._merger.frames, self._merger.instances)
        outcome.problem, outcome.notes = self._merger.problem, self._merger.notes
        outcome.save(self._folder)  # first, as a whole file is not read again, and its damage would be forgotten
        self._recording.finish()
        self._files.remove()
        self._seconds = time.perf_counter() - self._began

    def _read_as_a_whole(self) -> list[Task]:
        """Begin again, and let one worker read the input as one machine does."""
        self._files.remove()
        self._recording.partial.unlink(missing_ok=True)
        self.new_frames = 0
        return self._begin([WHOLE])
