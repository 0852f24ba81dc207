"""Which variant weights are of, and what is wrong where they fit none."""

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from solov2.checkpoints.checkpoint import Checkpoint
from solov2.errors import CheckpointError, few_of
from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS

Shapes = Mapping[str, tuple[int, ...]]

_CLASS_KEYS = ("conv_cls.weight", "conv_cls.bias")  # ends of the names of tensors with a row for each class


def identify_variant(state_dict: Mapping[str, Tensor]) -> str | None:
    """Return the variant whose tensors have these names and shapes, with any number of classes; None if there is none.

    `r50-1x` and `r50` are one network trained for different times; both are recognised as `r50`.
    """
    found = _shapes(state_dict)
    return next((name for name in reversed(VARIANTS) if _misfit(found, name) == 0), None)


def variant_of(checkpoint: Checkpoint, path: Path) -> str:
    """Return the variant that a file says it is of, or that its tensors are of.

    Raises:
        CheckpointError: they are of none; names the likeliest and the tensors that keep them from being it.
    """
    name = checkpoint.variant or identify_variant(checkpoint.state_dict)
    if name is None:
        raise CheckpointError(f"{path} is of no known variant: {describe_misfit(checkpoint.state_dict)}")
    return name


def describe_misfit(state_dict: Mapping[str, Tensor]) -> str:
    """Return what keeps weights of no variant from being the likeliest one, as the end of a sentence."""
    found = _shapes(state_dict)
    likeliest, misfits = _most_likely_variant(found)
    if misfits >= len(found) / 2:
        return f"its {len(found)} tensors, such as {next(iter(found))}, fit none of {', '.join(VARIANTS)}"
    expected = dict(_variant_shapes(likeliest))
    for name in filter(is_by_class, expected):
        if found.get(name, ())[1:] == expected[name][1:] and name in found:  # the number of classes is free
            expected[name] = found[name]
    return f"it comes closest to {likeliest}. {_complaints(found, expected)}."


def class_count(checkpoint: Checkpoint, variant: str) -> int:
    """Return how many classes the weights tell apart; that of the variant where they do not say."""
    weight = next((tensor for name, tensor in checkpoint.state_dict.items() if is_by_class(name)), None)
    return len(VARIANTS[variant].class_names) if weight is None or not weight.ndim else len(weight)


def is_by_class(name: str) -> bool:
    """Return whether the tensor called `name` has a row for each class."""
    return name.endswith(_CLASS_KEYS)


def fit_state_dict(state_dict: Mapping[str, Tensor], model: SOLOv2) -> dict[str, Tensor]:
    """Return `state_dict` as `model.load_state_dict` takes it, or say why it does not fit.

    Counters of BatchNorm (`num_batches_tracked`), which older files lack, are filled in.

    Raises:
        CheckpointError: names the tensors that are missing, unexpected or of another shape, and the likeliest variant;
            or the tensors that hold values that are no numbers.
    """
    own = model.state_dict()
    found = _shapes(state_dict)
    details = _complaints(found, _shapes(own))
    if details:
        raise CheckpointError(f"the weights do not fit {model.variant.name}{_rather(found, model)}. {details}.")
    broken = [name for name, tensor in state_dict.items() if not tensor.is_meta and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} of the weights' {len(state_dict)} tensors hold values that are no finite numbers, such as "
            f"{broken[0]}: their training broke down. Take an earlier checkpoint of it."
        )
    counters = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in own.items() if _is_counter(name)}
    return {**counters, **state_dict}


def _complaints(found: Shapes, expected: Shapes) -> str:
    """Return the tensors that differ, by name and shape; nothing where none does."""
    wrong = [name for name in found if name in expected and found[name] != expected[name]]
    complaints = {
        "missing": [f"{name} {expected[name]}" for name in expected if name not in found],
        "unexpected": [f"{name} {found[name]}" for name in found if name not in expected],
        "wrong shape": [f"{name} {found[name]}, need {expected[name]}" for name in wrong],
    }
    return "; ".join(f"{kind}: {few_of(names, 3)}" for kind, names in complaints.items() if names)


def _rather(found: Shapes, model: SOLOv2) -> str:
    """Return what the weights may rather be, as the continuation of a sentence."""
    likeliest, misfits = _most_likely_variant(found)
    own_misfits = _misfit(found, model.variant.name)
    if misfits < min(own_misfits, len(found) / 2):
        return f", they look like {likeliest}"
    if own_misfits == 0:
        known = next(shape[0] for name, shape in found.items() if is_by_class(name))
        return f" with {len(model.class_names)} classes, they know {known}"
    return ""


def _most_likely_variant(found: Shapes) -> tuple[str, int]:
    """Return the variant with the fewest misfits, and how many those are."""
    misfits = {name: _misfit(found, name) for name in reversed(VARIANTS)}
    best = min(misfits, key=lambda name: misfits[name])
    return best, misfits[best]


def _misfit(found: Shapes, variant: str) -> int:
    """Return how many tensors keep `found` from being `variant`, whatever the number of classes."""
    found, expected = _without_classes(found), _without_classes(_variant_shapes(variant))
    return len(set(found.items()) ^ set(expected.items()))


@functools.cache
def _variant_shapes(variant: str) -> Shapes:
    with torch.device("meta"):
        return _shapes(SOLOv2(VARIANTS[variant]).state_dict())


def _shapes(state_dict: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in state_dict.items() if not _is_counter(name)}


def _without_classes(shapes: Shapes) -> Shapes:
    return {name: shape[1:] if is_by_class(name) else shape for name, shape in shapes.items()}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")
