"""States of unfinished trainings (`last.pt`) that are odd in one place."""

import functools
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from solov2.network.model import SOLOv2
from solov2.training.loop import Run, prepare_run
from solov2.training.saved_run import resume_run, state_of
from solov2.training.train_config import PRESETS
from solov2.variants import VARIANTS
from tests.fuzz.checkpoints.weights import CLASS_WEIGHT, ODD_FACTS, ODD_TENSORS, save
from tests.fuzz.files import MadeFile

_GONE = "gone"
_ODD_NUMBERS: dict[str, Any] = {"minus one": -1, "half": 0.5, "infinity": float("inf"), "true": True, "empty": {}}
_MOMENTS = ("optimizer", "state")
_GROUPS = ("optimizer", "param_groups")
_PLACES: tuple[tuple[Any, ...], ...] = (
    *(("step",), ("best_ap",), ("trained_seconds",), ("scaler",), ("class_names",), ("class_names", 0)),
    *(("config",), ("config", "epochs"), ("config", "canvases"), ("model",), ("averaged",)),
    *(("model", CLASS_WEIGHT), ("averaged", CLASS_WEIGHT), ("model", "x"), ("optimizer",)),
    *(_MOMENTS, (*_MOMENTS, 0), (*_MOMENTS, 9999), (*_MOMENTS, 0, "exp_avg"), (*_MOMENTS, 0, "step")),
    *(_GROUPS, (*_GROUPS, 0), (*_GROUPS, 0, "params"), (*_GROUPS, 0, "betas"), (*_GROUPS, 0, "full_lr")),
)


@functools.cache
def _state() -> dict[str, Any]:
    """Return what is saved after one step."""
    run = fresh_run()
    for group in run.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    run.step = 1
    return state_of(run)


def fresh_run() -> Run:
    """Return a run of the smallest variant at step 0."""
    torch.manual_seed(0)
    return prepare_run(PRESETS["nano"], SOLOv2(VARIANTS["nano"]), torch.device("cpu"), torch.float32)


def with_odd_value(place: tuple[Any, ...], oddity: str) -> MadeFile:
    """Return a state in which the value at `place`, a way through dictionaries and lists, is odd or gone."""

    def make(path: Path) -> None:
        save(_changed(_state(), place, oddity), path, "zip")

    return MadeFile(f"{'.'.join(map(str, place))} is {oddity}", make)


def _changed(value: Any, place: tuple[Any, ...], oddity: str) -> Any:
    """Return a copy of `value`, as far as needed, with the change."""
    if not place:
        value = value if isinstance(value, torch.Tensor) else torch.zeros(2, 96, 3, 3)
        return ODD_TENSORS[oddity](value) if oddity in ODD_TENSORS else (ODD_FACTS | _ODD_NUMBERS)[oddity]
    changed = list(value) if isinstance(value, list) else dict(value)
    if len(place) == 1 and oddity == _GONE:
        changed.pop(place[0], None) if isinstance(changed, dict) else changed.pop()
    else:
        inner = changed[place[0]] if isinstance(changed, list) else changed.get(place[0])
        changed[place[0]] = _changed(inner, place[1:], oddity)
    return changed


def odd_runs() -> SearchStrategy[MadeFile]:
    """Return a strategy of states that are odd in one place."""
    return st.builds(
        with_odd_value, st.sampled_from(_PLACES), st.sampled_from([*ODD_TENSORS, *ODD_FACTS, *_ODD_NUMBERS, _GONE])
    )


def resume(path: Path) -> None:
    """Resume from a file, and take a step of the optimizer, which would fail on state that is not its own."""
    run = fresh_run()
    resume_run(run, path)
    for group in run.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    assert run.step >= 0
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())
