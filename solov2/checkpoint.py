"""Weights in and out of files: whose they are, which variant they fit, and what is wrong where they do not.

Our tensors bear the names of OpenMMLab's checkpoints, so those load as they are; the SOLO authors' are renamed.
"""

import contextlib
import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from solov2.config import VARIANTS, find_variant
from solov2.errors import CheckpointError, few_of
from solov2.model import SOLOv2
from solov2.unpickle import load_without_executing

Source = Literal["safetensors", "openmmlab", "solo-authors", "state-dict"]
Shapes = Mapping[str, tuple[int, ...]]

_CLASS_WEIGHT = "mask_head.conv_cls.weight"
_CLASS_KEYS = (_CLASS_WEIGHT, "mask_head.conv_cls.bias")
_AUTHORS_PREFIXES = {
    "bbox_head.cate_convs.": "mask_head.cls_convs.",
    "bbox_head.kernel_convs.": "mask_head.kernel_convs.",
    "bbox_head.solo_cate.": "mask_head.conv_cls.",
    "bbox_head.solo_kernel.": "mask_head.conv_kernel.",
    "mask_feat_head.conv_pred.0.": "mask_head.mask_feature_head.conv_pred.",
    "mask_feat_head.": "mask_head.mask_feature_head.",
}
_FULL_MODULATION = 100.0  # the sigmoid of it is exactly 1 in every precision


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        state_dict: tensors on the CPU, under our names.
        variant: the variant's name, where the file says it; else ask `recognise_variant`.
        class_names: the name of each label, where the file says them.
        source: who wrote the file.
        metadata: what else it says about itself.
        left_out: classes of the file's further objects, which were not read.
    """

    state_dict: dict[str, Tensor]
    source: Source
    variant: str | None = None
    class_names: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read weights of this project, of OpenMMLab (2.x and 3.x) or of the SOLO authors, or a bare state dict.

    Nothing that the file names is run. Where OpenMMLab trained with an exponential moving average, the averaged weights
    are read: they are what its files keep under the ordinary names. Class names whose number is not that of the
    weights' classes are ignored.

    Raises:
        CheckpointError: there is no such file, or it holds no weights, or asks to run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head[8:9] == b"{":  # after the length of the header
            return _read_safetensors(path)
        _refuse_other_files(path, head)
        content, left_out = load_without_executing(path)
    except OSError as error:
        raise CheckpointError(f"cannot read weights from {path}: {error.strerror or error}.") from error
    return _from_content(path, content, left_out)


def save_checkpoint(
    path: str | Path,
    state_dict: Mapping[str, Tensor],
    variant: str,
    class_names: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write weights as safetensors; an older file at `path` is replaced only when the new one is whole.

    Args:
        path: ends in `.safetensors`.
        state_dict: tensors under our names.
        variant: name of the variant that they fit.
        class_names: the name of each label.
        metadata: anything that JSON can hold.

    Raises:
        CheckpointError: the file cannot be written.
        UnknownNameError: there is no such variant.
    """
    path = Path(path)
    header = {
        "format": "pt",
        "variant": find_variant(variant).name,
        "class_names": json.dumps(list(class_names)),
        "metadata": json.dumps(metadata or {}),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, beside, header)
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write weights to {path}: {error}.") from error


def recognise_variant(state_dict: Mapping[str, Tensor]) -> str | None:
    """Return the variant whose tensors have these names and shapes, with any number of classes; None if there is none.

    `r50-1x` and `r50` are one network trained for different times; both are recognised as `r50`.
    """
    found = _shapes(state_dict)
    return next((name for name in reversed(VARIANTS) if _misfit(found, name) == 0), None)


def fit_state_dict(state_dict: Mapping[str, Tensor], model: SOLOv2) -> dict[str, Tensor]:
    """Return `state_dict` as `model.load_state_dict` takes it, or say why it does not fit.

    Counters of BatchNorm (`num_batches_tracked`), which older files lack, are filled in.

    Raises:
        CheckpointError: names the tensors that are missing, unexpected or of another shape, and the likeliest variant.
    """
    own = model.state_dict()
    found, expected = _shapes(state_dict), _shapes(own)
    wrong = [name for name in found if name in expected and found[name] != expected[name]]
    complaints = {
        "missing": [f"{name} {expected[name]}" for name in expected if name not in found],
        "unexpected": [f"{name} {found[name]}" for name in found if name not in expected],
        "wrong shape": [f"{name} {found[name]}, need {expected[name]}" for name in wrong],
    }
    details = "; ".join(f"{kind}: {few_of(names, 3)}" for kind, names in complaints.items() if names)
    if details:
        raise CheckpointError(f"the weights do not fit {model.variant.name}{_likeliest(found, model)}. {details}.")
    counters = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in own.items() if _is_counter(name)}
    return {**counters, **state_dict}


def _likeliest(found: Shapes, model: SOLOv2) -> str:
    """Return what the weights may rather be, as the continuation of a sentence."""
    misfits = {name: _misfit(found, name) for name in reversed(VARIANTS)}
    best = min(misfits, key=lambda name: misfits[name])
    if misfits[best] < min(misfits[model.variant.name], len(found) / 2):
        return f", they look like {best}"
    if misfits[model.variant.name] == 0:
        return f" with {len(model.class_names)} classes, they know {found[_CLASS_WEIGHT][0]}"
    return ""


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
    return {name: shape[1:] if name in _CLASS_KEYS else shape for name, shape in shapes.items()}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def _refuse_other_files(path: Path, head: bytes) -> None:
    """Name the files that people have in place of weights."""
    if not head:
        raise CheckpointError(f"{path} is empty. Get the file again.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the weights. Get them with: git lfs pull")
    if head.lstrip().startswith(b"<"):
        raise CheckpointError(f"{path} is a web page, not weights. Download the file itself.")


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header: dict[str, str] = file.metadata() or {}
            state_dict, _ = _our_names({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        class_names = tuple(json.loads(header["class_names"])) if "class_names" in header else None
        metadata = json.loads(header.get("metadata", "{}"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {error}. Get the file again.") from error
    variant = header.get("variant")
    return Checkpoint(state_dict, "safetensors", variant if variant in VARIANTS else None, class_names, metadata)


def _from_content(path: Path, content: Any, left_out: tuple[str, ...]) -> Checkpoint:
    """Find the weights in what a pickle held."""
    outer = content if isinstance(content, dict) else {}
    inner = next((outer[key] for key in ("state_dict", "model") if isinstance(outer.get(key), dict)), outer)
    tensors = {str(name): tensor.detach() for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no weights: no dictionary of tensors in it, or under 'state_dict' in it.")
    meta = outer.get("meta")
    state_dict, is_authors = _our_names(tensors)
    source: Source = "solo-authors" if is_authors else "openmmlab" if isinstance(meta, dict) else "state-dict"
    facts = meta if isinstance(meta, dict) else {}
    return Checkpoint(
        state_dict,
        source,
        variant=next((name for name, row in VARIANTS.items() if row.weights_file == path.name), None),
        class_names=_class_names(facts, state_dict),
        metadata={key: value for key, value in facts.items() if _is_short(value)},
        left_out=left_out,
    )


def _our_names(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors under our names, and whether they had those of the SOLO authors' code."""
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    plain = {name: tensor for name, tensor in plain.items() if not name.startswith("ema_")}
    renamed = {_our_name(name): tensor for name, tensor in plain.items()}
    _modulate(renamed)
    return renamed, renamed.keys() != plain.keys()


def _our_name(name: str) -> str:
    for theirs, ours in _AUTHORS_PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _modulate(state_dict: dict[str, Tensor]) -> None:
    """Give deformable convolutions without modulation, which the authors' Light model has, one that is exactly 1."""
    for name in [name for name in state_dict if name.endswith(".conv_offset.weight")]:
        weight, bias_name = state_dict[name], name.removesuffix("weight") + "bias"
        taps = weight.shape[2] * weight.shape[3]
        if len(weight) == 2 * taps and bias_name in state_dict:
            bias = state_dict[bias_name]
            state_dict[name] = torch.cat([weight, weight.new_zeros(taps, *weight.shape[1:])])
            state_dict[bias_name] = torch.cat([bias, bias.new_full((taps,), _FULL_MODULATION)])


def _class_names(meta: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> tuple[str, ...] | None:
    """Return OpenMMLab's class names (2.x and 3.x keep them in different places) if there is one for each class."""
    dataset = meta.get("dataset_meta")
    places = [dataset, meta] if isinstance(dataset, dict) else [meta]
    names = next((place[key] for place in places for key in ("classes", "CLASSES") if place.get(key)), None)
    if isinstance(names, str):  # of a single class
        names = (names,)
    if not isinstance(names, list | tuple) or len(names) != len(state_dict.get(_CLASS_WEIGHT, ())):
        return None
    return tuple(str(name) for name in names)


def _is_short(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and "\n" not in value)
