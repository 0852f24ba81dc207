"""What `app.annotate --ray` does once its options are read. The model is loaded by the workers alone."""

import argparse
import hashlib
import json
import sys
from contextlib import closing
from pathlib import Path

from platformdirs import user_cache_path

from app.annotate_run import EXIT_WITH_PROBLEMS
from app.annotation.inputs import find_inputs
from app.annotation.job import WantedOutputs
from app.annotation.object_store import StoredOutputs, store_protocol
from app.cluster.archive import annotate_inputs, finish_inputs, job_of, report
from app.cluster.chunk import chunk_length
from app.cluster.chunk_worker import ModelOptions, OpenModel, open_model
from app.cluster.ray_pool import RayPool
from app.stream_errors import AppError
from solov2.cli import EXIT_INTERRUPTED
from solov2.errors import printable
from solov2.output_lock import locked


def annotate_on_ray(options: argparse.Namespace, wanted: WantedOutputs, opener: OpenModel = open_model) -> int:
    """Annotate as the checked options of `app.annotate` say, on a Ray cluster; return the exit code."""
    stored = open_outputs(options.out)
    out = stored.staging if stored else Path(options.out)
    inputs = find_inputs(options.inputs, out, allows_stores=True)
    model = ModelOptions(
        options.model, options.device, options.dtype, options.engine, options.batch, options.input_size
    )
    try:
        with locked(*(out / one.name for one in inputs)):
            with closing(RayPool(options.ray, options.ray_workers, model, opener)) as pool:
                job = job_of(options, out, wanted, pool.ready)
                length = chunk_length(options.ray_chunk, job.settings.batch)
                works = annotate_inputs(job, inputs, stored, pool, length)
                states = pool.states()
            outcomes = finish_inputs(works, stored)
    except KeyboardInterrupt:
        print("interrupted: the same command resumes where this one stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps([one.as_dict() for one in outcomes], indent=2) if options.json else report(outcomes, states))
    return EXIT_WITH_PROBLEMS if any(one.problem or not one.is_done for one in outcomes) else 0


def open_outputs(out: str) -> StoredOutputs | None:
    """Return the outputs in an object store; None for a folder of this machine.

    Raises:
        AppError: it is an address that fsspec does not know.
    """
    if "://" not in out:
        return None
    if not store_protocol(out):
        raise AppError(f"--out must be a folder, or an address that fsspec can write, got {printable(out)!r}")
    folder = hashlib.sha256(out.rstrip("/").encode()).hexdigest()[:16]
    return StoredOutputs(out, user_cache_path("solov2-live") / "outputs" / folder)
