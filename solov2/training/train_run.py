"""One training from its options to its report: the steps, the validation after each epoch, what is logged and saved."""

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from solov2.checkpoints.checkpoint import save_checkpoint
from solov2.data.coco_dataset import CocoDataset
from solov2.evaluation.evaluate_run import encoders_beside, predictions
from solov2.evaluation.metrics import coco_metrics
from solov2.files import writing
from solov2.output_lock import locked
from solov2.runtime.device import find_dtype
from solov2.runtime.torch_predictor import TorchPredictor
from solov2.training.batches import Batch, steps_per_epoch, training_batches
from solov2.training.distributed import joined_processes
from solov2.training.loop import Run, learning_rate, training_step
from solov2.training.losses import Losses
from solov2.training.previews import write_previews
from solov2.training.report import write_report
from solov2.training.saved_run import save_run
from solov2.training.setup import Data, choose_config, open_data, start_run

LOG_EVERY_STEPS = 20
SAVE_EVERY_SECONDS = 60.0


def run_training(options: argparse.Namespace) -> int:
    """Do what the checked options of `solov2.train` say; return the exit code."""
    with joined_processes(options.device) as (processes, device):
        choose_config(options, 1, processes)  # for its errors, as reading the data may take a while
        dtype = find_dtype("bfloat16" if options.dtype == "auto" and device.type == "cuda" else options.dtype, device)
        with locked(*([options.out] if processes.is_first else [])):
            data = open_data(options, processes)
            config = choose_config(options, len(data.train), processes)
            run = start_run(options, config, data, device, dtype, processes)
            train(run, data, options.out, dtype, options.workers)
            if processes.is_first:
                _finish(options.out, data.validation)
    return 0


class Log:
    """`log.jsonl`: one JSON object a line, complete at every moment."""

    def __init__(self, path: Path) -> None:
        """Append to `path`, which is made."""
        self._path = path
        with writing(path):
            path.touch()

    def write(self, **values: Any) -> None:
        """Append one line; raise SOLOv2Error if the disk refuses."""
        with writing(self._path), self._path.open("a") as file:
            file.write(json.dumps(values) + "\n")


def train(run: Run, data: Data, out: Path, dtype: torch.dtype, workers: int) -> None:
    """Train from `run.step` to the end, validating after every epoch.

    Args:
        run: fresh or resumed.
        data: to train on and to measure AP on; without the latter, the averaged weights are exported unmeasured.
        out: the run's folder.
        dtype: of the forward pass; weights and losses stay in float32.
        workers: processes that prepare the pictures.

    Raises:
        SOLOv2Error: the loss or its gradient is no longer a number; names the step.
    """
    log = Log(out / "log.jsonl")
    is_first = run.processes.is_first
    if run.step == 0 and is_first and data.validation:
        write_previews(run.averaged, data.validation, out / "pictures", 0)
    per_epoch = steps_per_epoch(data.train, run.config)
    for epoch in range(run.step // per_epoch, run.config.epochs):
        first = run.step - epoch * per_epoch
        loader = training_batches(
            data.train,
            run.model.variant,
            run.config,
            epoch,
            first_step=first,
            workers=workers,
            processes=run.processes,
        )
        title = f"epoch {epoch + 1}/{run.config.epochs}"
        bar = tqdm(loader, title, per_epoch, initial=first, unit="step", disable=not is_first)
        for step_losses, norm in _steps(run, bar, out, dtype, per_epoch):
            terms = {"mask": step_losses.mask, "category": step_losses.category, "box": step_losses.box}
            bar.set_postfix({name: f"{term:.3f}" for name, term in terms.items() if term})
            if is_first and run.step % LOG_EVERY_STEPS == 0:
                _log_step(log, run, step_losses, norm, per_epoch)
        if is_first:
            _validate(run, data.validation, out, log, epoch)
            save_run(run, out / "last.pt")


def _steps(
    run: Run, batches: "tqdm[Batch]", out: Path, dtype: torch.dtype, per_epoch: int
) -> Iterator[tuple[Losses, float]]:
    saved_at = begun_at = time.monotonic()
    for batch in batches:
        rate = learning_rate(run.config, run.step, per_epoch)
        step_losses, norm = training_step(run, batch, dtype, rate)
        yield step_losses, norm
        now = time.monotonic()
        run.trained_seconds += now - begun_at
        begun_at = now
        is_last = run.step % per_epoch == 0  # saved after the validation, which a cut must not skip
        if run.processes.is_first and now - saved_at > SAVE_EVERY_SECONDS and not is_last:
            save_run(run, out / "last.pt")
            saved_at = now


def _log_step(log: Log, run: Run, step_losses: Losses, norm: float, per_epoch: int) -> None:
    log.write(
        step=run.step,
        epoch=round(run.step / per_epoch, 3),
        mask_loss=float(step_losses.mask),
        category_loss=float(step_losses.category),
        box_loss=float(step_losses.box),
        gradient_norm=norm if math.isfinite(norm) else None,  # float16 overflowed, and the step was left out
        learning_rate=run.optimizer.param_groups[-1]["lr"],
        seconds=round(run.trained_seconds, 1),
    )


def _validate(run: Run, validation: CocoDataset | None, out: Path, log: Log, epoch: int) -> None:
    ap, metadata = run.best_ap, {"epoch": epoch + 1}
    if validation is not None:
        measured = "box" if validation.box_count else "mask"  # no mask can be measured against a box
        kind = {"box": "bbox", "mask": "segm"}[measured]
        predictor, encoders = TorchPredictor(run.averaged), encoders_beside(run.averaged.device)
        metrics = coco_metrics(validation, predictions(predictor, validation, encoders=encoders), kind)
        seconds = round(run.trained_seconds, 1)
        log.write(step=run.step, epoch=epoch + 1, seconds=seconds, measured=measured, validation=metrics)
        by_class = ", ".join(f"{name} {values['AP50']:.3f}" for name, values in list(metrics["classes"].items())[:5])
        tqdm.write(
            f"epoch {epoch + 1}: {measured} AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f} ({by_class})", sys.stderr
        )
        write_previews(run.averaged, validation, out / "pictures", epoch + 1)
        ap = metrics["AP"]
        metadata[f"{measured}_ap"] = round(ap, 4)
    if ap >= run.best_ap:
        run.best_ap = ap
        model = run.averaged
        save_checkpoint(out / "best.safetensors", model.state_dict(), model.variant.name, model.class_names, metadata)


def _finish(out: Path, validation: CocoDataset | None) -> None:
    """Write the report, and print the commands that follow."""
    model = f"--model {shlex.quote(str(out / 'best.safetensors'))}"
    commands = {"see it live": f"python -m app.webcam {model}"}
    if validation is not None:
        images, annotations = (shlex.quote(str(p)) for p in (validation.images_folder, validation.annotations_file))
        commands["measure it"] = f"python -m solov2.evaluate {model} --images {images} --annotations {annotations}"
    print(f"done: {out / 'best.safetensors'}")
    print(f"look at it: {write_report(out, list(commands.values()))}")
    for purpose, command in commands.items():
        print(f"{purpose}: {command}")
