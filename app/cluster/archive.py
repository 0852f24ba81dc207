"""All inputs of a run, whoever the workers are: annotated in chunks, then finished on this machine."""

import argparse
from collections.abc import MutableMapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.annotate_run import is_terminal, progress_lines
from app.annotation.inputs import Input
from app.annotation.job import Job, WantedOutputs
from app.annotation.object_store import LocalCopies, StoredOutputs
from app.annotation.outcome import Outcome, table
from app.annotation.settings import Settings
from app.cluster.archive_input import ArchiveInput
from app.cluster.archive_progress import ArchiveProgress, worker_line
from app.cluster.chunk_worker import Ready
from app.cluster.pool import Pool, WorkerState
from app.cluster.schedule import Schedule
from app.interrupt import Interrupt
from app.options import check_classes
from app.stream_errors import AppError
from solov2 import Instances


def job_of(options: argparse.Namespace, out: Path, wanted: WantedOutputs, ready: Ready) -> Job:
    """Return what all inputs have in common, of which the workers know the part about the model."""
    names = tuple(ready.header["classes"])
    classes = check_classes(options.classes, names)
    for area in wanted.areas:
        check_classes(area.classes, names)
    settings = Settings(options.score, classes, options.start, options.end, options.stride, ready.batch, options.track)
    return Job(out, settings, ready.header, wanted, NoPredictor(names), partial(progress_lines, line=0))


def annotate_inputs(
    job: Job, inputs: Sequence[Input], stored: StoredOutputs | None, pool: Pool, length: int
) -> list[ArchiveInput]:
    """Let the pool annotate every frame that is not recorded yet, in chunks of `length` frames.

    Raises:
        SinkError: the outputs of an input cannot be completed. Nothing was done then.
        AppError: no worker is left.
    """
    for one in inputs:
        if stored is not None:
            stored.fetch(one.name)
        job.check(one)
    works = [ArchiveInput(job, one) for one in inputs]
    with closing(ArchiveProgress(is_terminal())) as progress, Interrupt() as interrupt:
        Schedule(works, job.settings, length).run(pool, progress.show, interrupt.should_stop)
    return works


def finish_inputs(works: Sequence[ArchiveInput], stored: StoredOutputs | None) -> list[Outcome]:
    """Make the outputs that are not lines, on this machine, and upload what belongs into an object store."""
    outcomes = []
    with closing(LocalCopies()) as copies:
        for one in works:
            outcomes.append(one.finish(copies))
            if stored is not None and outcomes[-1].is_done:
                stored.upload(one.input.name)
    return outcomes


def report(outcomes: Sequence[Outcome], states: Sequence[WorkerState]) -> str:
    """Return what became of each input, and what each worker has done."""
    return "\n".join([table(outcomes), *map(worker_line, states)])


class NoPredictor:
    """Stands for the model on the machine that runs no model: every frame must be recorded already."""

    workers = batch_size = 1

    def __init__(self, class_names: tuple[str, ...]) -> None:
        """Know the name of each label."""
        self.class_names = class_names

    def predict_batch(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        """Raise AppError: a frame is there that nobody has annotated."""
        raise AppError("the input has more frames than when it was annotated: delete its folder, and begin again")
