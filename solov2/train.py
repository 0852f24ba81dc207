"""Train any variant on COCO-format data: `python -m solov2.train --help`.

A run lives in one folder: `log.jsonl` (a line per logged step and per validation), `last.pt` (everything needed to go
on), `best.safetensors` (the averaged weights with the best validation AP). The same command continues a run that was
cut off.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from solov2.batches import Batch, steps_per_epoch, training_batches
from solov2.checkpoint import save_checkpoint
from solov2.cli import add_debug_flag, run_command
from solov2.coco import CocoDataset
from solov2.config import VARIANTS, find_variant
from solov2.engine import find_device, find_dtype
from solov2.errors import SOLOv2Error
from solov2.evaluate import predictions
from solov2.initialise import load_backbone, load_initial_weights
from solov2.losses import Losses
from solov2.metrics import coco_metrics
from solov2.model import SOLOv2
from solov2.train_config import PRESETS, find_preset
from solov2.training_run import Run, learning_rate, prepare_run, resume_run, save_run, training_step

LOG_EVERY_STEPS = 20
SAVE_EVERY_SECONDS = 60.0


class Log:
    """`log.jsonl`: one JSON object a line, flushed as it is written."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        self._file = path.open("a")

    def write(self, **values: Any) -> None:
        """Append one line."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()


def train(
    run: Run, data: CocoDataset, validation: CocoDataset | None, out: Path, dtype: torch.dtype, workers: int
) -> None:
    """Train from `run.step` to the end, validating after every epoch.

    Args:
        run: fresh or resumed.
        data: to train on.
        validation: to measure AP on; None exports the averaged weights unmeasured.
        out: the run's folder.
        dtype: of the forward pass; weights and losses stay in float32.
        workers: processes that prepare the pictures.

    Raises:
        SOLOv2Error: the loss is no longer a number; names the steps between which that happened.
    """
    log = Log(out / "log.jsonl")
    per_epoch = steps_per_epoch(len(data), run.config)
    for epoch in range(run.step // per_epoch, run.config.epochs):
        first = run.step - epoch * per_epoch
        loader = training_batches(data, run.model.variant, run.config, epoch, first, workers)
        bar = tqdm(loader, f"epoch {epoch + 1}/{run.config.epochs}", per_epoch, initial=first, unit="step")
        for step_losses, norm in _steps(run, bar, out, dtype, per_epoch):
            bar.set_postfix(mask=f"{step_losses.mask:.3f}", category=f"{step_losses.category:.3f}")
            if run.step % LOG_EVERY_STEPS == 0:
                _log_step(log, run, step_losses, norm, per_epoch)
        _validate(run, validation, out, log, epoch)
        save_run(run, out / "last.pt")


def _steps(
    run: Run, batches: "tqdm[Batch]", out: Path, dtype: torch.dtype, per_epoch: int
) -> Iterator[tuple[Losses, float]]:
    saved_at = begun_at = time.monotonic()
    for batch in batches:
        rate = learning_rate(run.config, run.step, per_epoch)
        yield training_step(run, batch, dtype, rate)
        now = time.monotonic()
        run.trained_seconds += now - begun_at
        begun_at = now
        if now - saved_at > SAVE_EVERY_SECONDS:
            save_run(run, out / "last.pt")
            saved_at = now


def _log_step(log: Log, run: Run, step_losses: Losses, norm: float, per_epoch: int) -> None:
    mask, category = float(step_losses.mask), float(step_losses.category)
    if not math.isfinite(mask + category):
        raise SOLOv2Error(
            f"the loss stopped being a number between steps {run.step - LOG_EVERY_STEPS} and {run.step}. "
            "Lower --learning-rate, or use --dtype float32"
        )
    log.write(
        step=run.step,
        epoch=round(run.step / per_epoch, 3),
        mask_loss=mask,
        category_loss=category,
        gradient_norm=norm,
        learning_rate=run.optimizer.param_groups[-1]["lr"],
        seconds=round(run.trained_seconds, 1),
    )


def _validate(run: Run, validation: CocoDataset | None, out: Path, log: Log, epoch: int) -> None:
    ap = run.best_ap
    if validation is not None:
        metrics = coco_metrics(validation, predictions(run.averaged, validation))
        log.write(step=run.step, epoch=epoch + 1, seconds=round(run.trained_seconds, 1), validation=metrics)
        by_class = ", ".join(f"{name} {values['AP50']:.3f}" for name, values in list(metrics["classes"].items())[:5])
        tqdm.write(
            f"epoch {epoch + 1}: mask AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f} ({by_class})", sys.stderr
        )
        ap = metrics["AP"]
    if validation is None or ap > run.best_ap:
        run.best_ap = ap
        metadata = {"epoch": epoch + 1, "mask_ap": round(ap, 4)} if validation else {"epoch": epoch + 1}
        model = run.averaged
        save_checkpoint(out / "best.safetensors", model.state_dict(), model.variant.name, model.class_names, metadata)


def parse_arguments() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m solov2.train", description="Train a variant on COCO-format data.")
    data = parser.add_argument_group("data")
    data.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the training pictures")
    data.add_argument("--annotations", type=Path, required=True, metavar="JSON", help="their COCO annotations")
    data.add_argument(
        "--val-images", type=Path, metavar="DIR", help="folder of the validation pictures (default: --images)"
    )
    data.add_argument(
        "--val-annotations", type=Path, metavar="JSON", help="their annotations; without, no AP is measured"
    )
    data.add_argument("--classes", metavar="A,B", help="categories to learn, in this order (default: all, by id)")
    run = parser.add_argument_group("run")
    run.add_argument("--preset", default="nano", help=f"one of {', '.join(PRESETS)} (default: nano)")
    run.add_argument("--variant", help=f"another network than the preset's: one of {', '.join(VARIANTS)}")
    run.add_argument(
        "--out",
        type=Path,
        default=Path("runs/train"),
        metavar="DIR",
        help="the run's folder; continues one that is there",
    )
    run.add_argument(
        "--backbone",
        metavar="FILE",
        help="backbone weights with torchvision's names (default: torchvision's ImageNet weights)",
    )
    run.add_argument("--init", metavar="FILE", help="start from these weights of the same variant (any classes)")
    run.add_argument("--epochs", type=int)
    run.add_argument("--batch-size", type=int)
    run.add_argument("--learning-rate", type=float)
    run.add_argument("--seed", type=int)
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    run.add_argument("--dtype", default="auto", help="of the forward pass: auto, float32, bfloat16 or float16")
    run.add_argument("--workers", type=int, default=1, help="processes that prepare pictures (default: 1)")
    add_debug_flag(parser)
    return parser


def run_training(options: argparse.Namespace) -> int:
    """Do what the command line asks."""
    overrides = {
        name: getattr(options, name)
        for name in ("variant", "epochs", "batch_size", "learning_rate", "seed")
        if getattr(options, name) is not None
    }
    try:
        config = replace(find_preset(options.preset), **overrides)
    except ValueError as error:
        raise SOLOv2Error(str(error)) from error
    variant = find_variant(config.variant)
    device = find_device(options.device)
    dtype = find_dtype("bfloat16" if options.dtype == "auto" and device.type == "cuda" else options.dtype, device)
    classes = options.classes.split(",") if options.classes else None
    data = CocoDataset(options.images, options.annotations, classes)
    validation = None
    if options.val_annotations:
        validation = CocoDataset(options.val_images or options.images, options.val_annotations, data.class_names)

    torch.manual_seed(config.seed)
    model = SOLOv2(variant, data.class_names)
    model.mask_head.initialise()
    options.out.mkdir(parents=True, exist_ok=True)
    last = options.out / "last.pt"
    if not last.exists():
        if options.init:
            load_initial_weights(model, Path(options.init))
        else:
            load_backbone(model, Path(options.backbone) if options.backbone else None)
    run = prepare_run(config, model, device, dtype)
    if last.exists():
        resume_run(run, last)
        print(f"continuing {options.out} at step {run.step}", file=sys.stderr)
    train(run, data, validation, options.out, dtype, options.workers)
    print(f"done: {options.out / 'best.safetensors'}")
    print(f"see it live: python -m app.webcam --model {options.out / 'best.safetensors'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(parse_arguments(), run_training, argv)


if __name__ == "__main__":
    raise SystemExit(main())
