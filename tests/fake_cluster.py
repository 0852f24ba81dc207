"""Workers of `app.annotate --ray` in this process, with the model of `fake_annotation`; some of them die when told."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from app import annotate
from app.annotation.inputs import find_inputs
from app.annotation.job import WantedOutputs
from app.annotation.jsonl_file import model_header
from app.annotation.object_store import StoredOutputs
from app.annotation.outcome import Outcome
from app.annotation.settings import Settings
from app.cluster.archive import annotate_inputs, finish_inputs, job_of
from app.cluster.archive_input import Task
from app.cluster.chunk import chunk_length
from app.cluster.chunk_worker import ChunkWorker, ModelOptions, OpenedModel, Ready
from app.cluster.pool import Done, Event, Lost, WorkerState
from solov2.output_lock import locked
from tests.fake_annotation import FakeTorchPredictor
from tests.fake_model import FakeModel

Dies = Callable[[Task], bool]


def open_fake(options: ModelOptions) -> OpenedModel:
    """Load the model of `fake_annotation`, in this process or in another one."""
    FakeTorchPredictor.batches = []
    batch = options.batch or 1
    predictor = FakeTorchPredictor(FakeModel(), batch_size=batch)
    return OpenedModel(predictor, model_header(options.model, FakeModel()), batch)  # type: ignore[arg-type]


def open_slow(options: ModelOptions) -> OpenedModel:
    """Load the same, and let it take a tenth of a second for each frame."""
    opened = open_fake(options)
    FakeTorchPredictor.seconds_per_frame = 0.1
    return opened


class FakePool:
    """A `Pool` whose workers do their tasks one after the other when it waits, the latest task first."""

    def __init__(self, batch: int, workers: int = 2, dies: Dies = lambda task: False) -> None:
        self._worker = ChunkWorker(ModelOptions("nano", "cpu", "auto", "eager", batch), open_fake, ".")
        ready = self._worker.open()
        assert isinstance(ready, Ready)
        self.ready = ready
        self._workers, self._dies = workers, dies
        self._given: list[tuple[Task, Settings, int]] = []
        self.done: list[str] = []

    def free(self) -> int:
        return self._workers - len(self._given)

    def give(self, task: Task, settings: Settings, length: int) -> None:
        self._given.append((task, settings, length))

    def wait(self, timeout_seconds: float) -> list[Event]:
        if not self._given:
            return []
        task, settings, length = self._given.pop()  # the latest first, so that results come out of order
        if self._dies(task):
            return [Lost(task, "worker 1")]
        self.done.append(task.label)
        if task.chunk is None:
            return [Done(task, self._worker.plan(task.owner.input, settings, length))]
        return [Done(task, self._worker.annotate(task.work))]

    def states(self) -> Sequence[WorkerState]:
        return []

    def close(self) -> None:
        self._worker.close()


class Killed(Exception):  # noqa: N818 - an outcome, not an error
    """Stands for the end of the process."""


def annotated_in_chunks(
    out: Path | StoredOutputs, *arguments: object, chunk: int = 4, dies: Dies = lambda task: False
) -> tuple[list[Outcome], FakePool]:
    """Do what `annotate ... --ray` does, with a `FakePool`."""
    stored = out if isinstance(out, StoredOutputs) else None
    folder = stored.staging if stored else Path(str(out))
    options = annotate.build_parser().parse_args([*map(str, arguments), "--out", str(folder)])
    formats = annotate.formats_of(options)
    pool = FakePool(options.batch or 1, dies=dies)
    inputs = find_inputs(options.inputs, folder, allows_stores=True)
    job = job_of(options, folder, WantedOutputs(options.video, formats), pool.ready)
    with closing(pool), locked(*(folder / one.name for one in inputs)):
        works = annotate_inputs(job, inputs, stored, pool, chunk_length(chunk, job.settings.batch))
        return finish_inputs(works, stored), pool
