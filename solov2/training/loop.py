"""A training under way: its weights, its optimizer, and one step of it."""

import math
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from solov2.decoding.geometry import normalisation
from solov2.errors import SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.training.batches import Batch
from solov2.training.dense_losses import dense_losses
from solov2.training.distributed import ALONE, Processes
from solov2.training.losses import Losses, count_positives, losses
from solov2.training.matching import flatten_cells, match
from solov2.training.train_config import TrainConfig


@dataclass
class Run:
    """A training under way: what `last.pt` holds, and how it is executed.

    Attributes:
        config, model, averaged, optimizer, scaler, step, best_ap, trained_seconds: are saved and resumed.
        network: runs `model` forward; with several processes it adds up their gradients too.
        processes: those that train together.
        teacher: has the starting weights, where the run keeps their knowledge; saved and resumed too.
        labels: (classes of the data,) int64, the model's label of each; None where they are the same.
    """

    config: TrainConfig
    model: SOLOv2
    network: nn.Module
    averaged: SOLOv2
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best_ap: float = -1.0
    trained_seconds: float = 0.0
    processes: Processes = ALONE
    teacher: SOLOv2 | None = None
    labels: Tensor | None = None


def learning_rate(config: TrainConfig, step: int, steps_in_epoch: int) -> float:
    """Return the learning rate of `step` relative to the full one: warm-up from a third, then drops or a cosine."""
    warmup = min(1.0, (1 + 2 * step / max(config.warmup_steps, 1)) / 3)
    if config.drops is not None:
        return warmup * float(0.1 ** sum(step >= drop * steps_in_epoch for drop in config.drops))
    progress = min(step / (config.epochs * steps_in_epoch), 1.0)
    return warmup * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(model: SOLOv2, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer; each group knows its full rate as "full_lr"."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    slow = tuple(f"{part}." for part in config.slow)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = config.optimizer == "sgd" or parameter.ndim > 1
            groups.setdefault((name.startswith(slow), decays), []).append(parameter)
    described: list[dict[str, Any]] = [
        {
            "params": parameters,
            "full_lr": config.learning_rate * (config.backbone_rate if is_slow else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (is_slow, decays), parameters in groups.items()
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(described, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(described, lr=config.learning_rate)


def training_step(run: Run, batch: Batch, dtype: torch.dtype, rate: float) -> tuple[Losses, float]:
    """Take one step; return the losses of the whole batch and the gradient's norm before clipping.

    With N processes `batch` is this one's part. The losses are divided by the positive cells of all parts, and their
    gradients summed: the step is the same as that of one process with the whole batch, as long as all pictures have
    the same size. (Where they differ, each process pads its part to its own largest picture. The reference divides by
    each process's own positive cells, so that its steps depend on N.)

    Raises:
        SOLOv2Error: the loss or its gradient is no longer a number; the weights are as before the step.
    """
    device = run.model.device
    for group in run.optimizer.param_groups:
        group["lr"] = group["full_lr"] * rate
    pixels = batch.pixels.to(device, non_blocking=True).float()
    mean, std = normalisation(device)
    images = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext():
        outputs = run.network(images)
    targets = [target.to(device) for target in batch.targets]
    part = _losses(run, images, outputs, targets)
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(run.scaler.scale(part.total * run.processes.count))  # gradients are averaged over processes
    run.scaler.unscale_(run.optimizer)
    norm = float(nn.utils.clip_grad_norm_(run.model.parameters(), run.config.clip_norm))
    whole = Losses(*(run.processes.total(term.detach()) for term in (part.mask, part.category, part.box)))
    is_left_out = run.scaler.is_enabled()  # by the scaler, which expects gradients that overflow in float16
    if not math.isfinite(whole.total) or not (math.isfinite(norm) or is_left_out):
        raise SOLOv2Error(
            f"the loss stopped being a number at step {run.step}. Begin again with a lower --learning-rate and another "
            "--out, or resume with --dtype float32"
        )
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.step += 1
    update_average(run)
    return whole, norm


def _losses(run: Run, images: Tensor, outputs: HeadOutputs, targets: list[Any]) -> Losses:
    """Return this process's part of the losses; it is divided by the positive cells of all."""
    if outputs.boxes is None:
        positives = run.processes.total(count_positives(targets, len(run.model.class_names)))
        return losses(outputs, targets, positives)
    labels = torch.arange(len(run.model.class_names)) if run.labels is None else run.labels
    labels = labels.to(images.device)
    targets = [replace(target, labels=labels[target.labels]) for target in targets]
    matches = match(outputs, targets)
    count = torch.tensor(sum(len(one.cells) for one in matches), device=images.device)
    return dense_losses(outputs, targets, matches, run.processes.total(count), _wanted_scores(run, images, labels))


@torch.no_grad()
def _wanted_scores(run: Run, images: Tensor, labels: Tensor) -> Tensor | None:
    """Return what the teacher says of the classes whose knowledge is kept, (B, cells, C); zero for the others."""
    if run.teacher is None:
        return None
    scores = flatten_cells(run.teacher(images).category_logits).sigmoid()
    if run.config.keeps == "other classes":
        scores[..., labels] = 0
    return scores


@torch.no_grad()
def update_average(run: Run) -> None:
    """Move the averaged weights towards the trained ones; young averages move faster."""
    decay = min(run.config.ema_decay, (1 + run.step) / (10 + run.step))
    for averaged, trained in zip(run.averaged.parameters(), run.model.parameters(), strict=True):
        averaged.lerp_(trained, 1 - decay)


def prepare_run(
    config: TrainConfig, model: SOLOv2, device: torch.device, dtype: torch.dtype, processes: Processes = ALONE
) -> Run:
    """Return a run at step 0 that trains `model` from the weights that it has."""
    model = model.to(device).to(memory_format=torch.channels_last).train()
    model.backbone.freeze()
    averaged = deepcopy(model).eval().requires_grad_(False)
    teacher = deepcopy(averaged) if config.keeps != "nothing" else None
    for name, parameter in model.named_parameters():
        if name.startswith(tuple(f"{part}." for part in config.frozen)):
            parameter.requires_grad_(False)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    optimizer = make_optimizer(model, config)
    return Run(
        config, model, processes.connect(model), averaged, optimizer, scaler, processes=processes, teacher=teacher
    )
