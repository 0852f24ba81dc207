"""`last.pt`: everything that is needed to resume a training, checked before any of it is used."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solov2.checkpoints.identify import fit_state_dict
from solov2.checkpoints.unpickle import load_without_executing
from solov2.checkpoints.weight_limits import complaint_about_tensors
from solov2.errors import CheckpointError, SOLOv2Error, brief
from solov2.training.loop import Run
from solov2.training.train_config import TrainConfig

_OPTIMIZER_STATE = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}  # of one parameter


def state_of(run: Run) -> dict[str, Any]:
    """Return what `last.pt` holds."""
    return {
        "config": asdict(run.config),
        "class_names": list(run.model.class_names),
        "model": run.model.state_dict(),
        "averaged": run.averaged.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "step": run.step,
        "best_ap": run.best_ap,
        "trained_seconds": run.trained_seconds,
        "teacher": run.teacher.state_dict() if run.teacher else {},
    }


def save_run(run: Run, path: Path) -> None:
    """Write everything that is needed to resume, beside `path` first, so that a cut leaves the older file whole.

    Raises:
        SOLOv2Error: the file cannot be written.
    """
    partial = path.with_suffix(".partial")
    try:
        torch.save(state_of(run), partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by the latter
        partial.unlink(missing_ok=True)
        raise SOLOv2Error(f"could not write {path}: {str(error).splitlines()[0]}") from error


def resume_run(run: Run, path: Path) -> None:
    """Bring a fresh `run` to where `path` was saved.

    The file is read as a stranger's weights are: runs are shared, too. Settings of the optimizer are those of `run`,
    whose configuration is the same.

    Raises:
        CheckpointError: the file cannot be read, or belongs to a run with other settings or classes.
    """
    try:
        # not onto the device: AdamW's counters would stay there, and each be waited for at every step
        state, _ = load_without_executing(path)
        different = _differences(run, state)
        if not different:
            _restore(run, state, path.stat().st_size)
    except CheckpointError as error:
        raise CheckpointError(f"cannot resume {path}: {error} Delete it to start afresh") from error
    except Exception as error:  # what is missing in it, or of another type
        raise CheckpointError(f"{path} is damaged, or no saved run. Delete it to start afresh") from error
    if different:
        raise CheckpointError(f"{path} is of another run: {'; '.join(different)}. Choose another --out")


def _differences(run: Run, state: Mapping[str, Any]) -> list[str]:
    """Return the settings and classes of a file that are not those of the run."""
    names = state["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("class names that are no text")  # going through a tensor of 10^9 equal numbers takes memory
    wanted = _plain(asdict(run.config))
    # Settings that are younger than the file had their defaults' effect.
    saved = _plain(asdict(TrainConfig(variant=run.config.variant, epochs=run.config.epochs))) | _plain(state["config"])
    different = [
        f"{key} {brief(saved[key], 200)} there, {brief(wanted[key], 200)} here"
        for key in wanted
        if saved[key] != wanted[key]
    ]
    if tuple(names) != run.model.class_names:
        different.append(f"classes {brief(names, 200)} there, {brief(list(run.model.class_names), 200)} here")
    return different


def _restore(run: Run, state: Mapping[str, Any], file_bytes: int) -> None:
    moments = {index: dict(values) for index, values in state["optimizer"]["state"].items()}
    tensors = {f"model.{name}": tensor for name, tensor in state["model"].items()}
    tensors |= {f"averaged.{name}": tensor for name, tensor in state["averaged"].items()}
    tensors |= {f"teacher.{name}": tensor for name, tensor in state.get("teacher", {}).items()}
    tensors |= {f"optimizer.{index}.{name}": tensor for index, of in moments.items() for name, tensor in of.items()}
    complaint = complaint_about_tensors(tensors, file_bytes)
    if complaint:
        raise CheckpointError(f"it {complaint}.")
    step, best_ap, seconds = state["step"], float(state["best_ap"]), float(state["trained_seconds"])
    if type(step) is not int or step < 0 or not math.isfinite(best_ap) or not 0 <= seconds < math.inf:
        raise ValueError("a counter that no run has")
    model, averaged = (fit_state_dict(state[key], run.model) for key in ("model", "averaged"))
    groups = run.optimizer.state_dict()["param_groups"]
    _check_moments(run, moments, [group["params"] for group in state["optimizer"]["param_groups"]])
    if run.teacher is not None:
        run.teacher.load_state_dict(fit_state_dict(state["teacher"], run.model))
    run.model.load_state_dict(model)
    run.averaged.load_state_dict(averaged)
    run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    if state["scaler"] and run.scaler.is_enabled():  # neither is there but with float16
        if not all(math.isfinite(number) and number >= 0 for number in state["scaler"].values()):
            raise ValueError("a scale that no run has")
        run.scaler.load_state_dict(state["scaler"])
    run.step, run.best_ap, run.trained_seconds = step, best_ap, seconds


def _check_moments(run: Run, moments: Mapping[int, Mapping[str, Tensor]], groups: list[list[int]]) -> None:
    """Raise ValueError where an optimizer's tensors are not those of the run's parameters."""
    own = run.optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in run.optimizer.param_groups for parameter in group["params"]]
    if groups != [group["params"] for group in own]:
        raise ValueError("other groups of parameters")
    for index, values in moments.items():
        shapes = {name: value.shape for name, value in values.items()}
        expected = dict.fromkeys(_OPTIMIZER_STATE[run.config.optimizer], parameters[index].shape)
        if shapes != {name: torch.Size() if name == "step" else shape for name, shape in expected.items()}:
            raise ValueError("other moments of a parameter")
        if not all(value.isfinite().all() for value in values.values()):
            raise ValueError("moments that are no finite numbers")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
