"""Weights in and out of files, and whose they are.

Our tensors bear the names of OpenMMLab's checkpoints, so those load as they are; the SOLO authors' are renamed.
"""

import contextlib
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

from solov2.checkpoints.unpickle import load_without_executing
from solov2.errors import CheckpointError, few_of
from solov2.variants import VARIANTS, find_variant

Source = Literal["safetensors", "openmmlab", "solo-authors", "state-dict"]

_CLASS_WEIGHT = "mask_head.conv_cls.weight"
_AUTHORS_PREFIXES = {
    "bbox_head.cate_convs.": "mask_head.cls_convs.",
    "bbox_head.kernel_convs.": "mask_head.kernel_convs.",
    "bbox_head.solo_cate.": "mask_head.conv_cls.",
    "bbox_head.solo_kernel.": "mask_head.conv_kernel.",
    "mask_feat_head.conv_pred.0.": "mask_head.mask_feature_head.conv_pred.",
    "mask_feat_head.": "mask_head.mask_feature_head.",
}
_FULL_MODULATION = 100.0  # the sigmoid of it is exactly 1 in every precision
_UNMODULATED_PX = (852, 512)
_CONTAINERS = ("averaged", "state_dict", "model")  # keys of weights; the first is of our unfinished trainings


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        state_dict: tensors on the CPU, under our names.
        variant: the variant's name, where the file says it; else ask `identify_variant`.
        class_names: the name of each label, where the file says them.
        input_px: most that the long and the short side of the resized input may have, where that is not the variant's:
            the SOLO authors ran their Light model with deformable convolutions at 852 and 512.
        source: who wrote the file.
        metadata: what else it says about itself.
        left_out: classes of the file's further objects, which were not read.
    """

    state_dict: dict[str, Tensor]
    source: Source
    variant: str | None = None
    class_names: tuple[str, ...] | None = None
    input_px: tuple[int, int] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read weights of this project, of OpenMMLab (2.x and 3.x) or of the SOLO authors, or a bare state dict.

    Nothing that the file names is run. Where OpenMMLab trained with an exponential moving average, the averaged weights
    are read: they are what its files keep under the ordinary names. So are those of our own unfinished trainings
    (`last.pt`). Class names whose number is not that of the weights' classes are ignored.

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
    input_px: tuple[int, int] | None = None,
) -> None:
    """Write weights as safetensors; an older file at `path` is replaced only when the new one is whole.

    Args:
        path: ends in `.safetensors`.
        state_dict: tensors under our names.
        variant: name of the variant that they fit.
        class_names: the name of each label.
        metadata: anything that JSON can hold.
        input_px: as in `Checkpoint`.

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
        "input_px": json.dumps(input_px),
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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {error}. Get the file again.") from error
    state_dict, _, authors_px = _our_names(tensors)
    variant, metadata, own_px = header.get("variant"), _json(header, "metadata"), _json(header, "input_px")
    return Checkpoint(
        state_dict,
        "safetensors",
        variant=variant if variant in VARIANTS else None,
        class_names=_matching(_json(header, "class_names"), state_dict),
        input_px=(int(own_px[0]), int(own_px[1])) if isinstance(own_px, list) else authors_px,
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _json(header: Mapping[str, str], key: str) -> Any:
    """Return what a header says, or None where it says nothing or, as others may, not in our form."""
    try:
        return json.loads(header.get(key, "null"))
    except ValueError:
        return None


def _from_content(path: Path, content: Any, left_out: tuple[str, ...]) -> Checkpoint:
    """Find the weights in what a pickle held."""
    outer = content if isinstance(content, dict) else {}
    inner = next((outer[key] for key in _CONTAINERS if isinstance(outer.get(key), dict)), outer)
    tensors = {str(name): tensor.detach() for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not tensors:
        objects = f" Objects of {few_of(left_out, 3)} are not read: save their state_dict()." if left_out else ""
        raise CheckpointError(
            f"{path} holds no weights: no dictionary of tensors in it, or under 'state_dict' in it.{objects}"
        )
    meta = outer.get("meta")
    state_dict, is_authors, input_px = _our_names(tensors)
    source: Source = "solo-authors" if is_authors else "openmmlab" if isinstance(meta, dict) else "state-dict"
    facts = meta if isinstance(meta, dict) else {}
    return Checkpoint(
        state_dict,
        source,
        variant=next((name for name, row in VARIANTS.items() if row.weights_file == path.name), None),
        class_names=_matching(outer.get("class_names") or _class_names(facts), state_dict),
        input_px=input_px,
        metadata={key: value for key, value in facts.items() if _is_short(value)},
        left_out=left_out,
    )


def _our_names(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool, tuple[int, int] | None]:
    """Return the tensors under our names, whether they had those of the SOLO authors' code, and their input's size."""
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    plain = {name: tensor for name, tensor in plain.items() if not name.startswith("ema_")}
    renamed = {_our_name(name): tensor for name, tensor in plain.items()}
    is_unmodulated = _modulate(renamed)
    return renamed, renamed.keys() != plain.keys(), _UNMODULATED_PX if is_unmodulated else None


def _our_name(name: str) -> str:
    for theirs, ours in _AUTHORS_PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _modulate(state_dict: dict[str, Tensor]) -> bool:
    """Give deformable convolutions without modulation one that is exactly 1, and return whether there are any.

    Only one published model has them, the SOLO authors' Light model (`solov2_light_512_dcn_r50_fpn_8gpu_3x`).
    """
    is_unmodulated = False
    for name in [name for name in state_dict if name.endswith(".conv_offset.weight")]:
        weight, bias_name = state_dict[name], name.removesuffix("weight") + "bias"
        taps = weight.shape[2] * weight.shape[3]
        if len(weight) == 2 * taps and bias_name in state_dict:
            bias = state_dict[bias_name]
            state_dict[name] = torch.cat([weight, weight.new_zeros(taps, *weight.shape[1:])])
            state_dict[bias_name] = torch.cat([bias, bias.new_full((taps,), _FULL_MODULATION)])
            is_unmodulated = True
    return is_unmodulated


def _class_names(meta: Mapping[str, Any]) -> Any:
    """Return what OpenMMLab's files say about the classes; 2.x and 3.x keep it in different places."""
    dataset = meta.get("dataset_meta")
    places = [dataset, meta] if isinstance(dataset, dict) else [meta]
    return next((place[key] for place in places for key in ("classes", "CLASSES") if place.get(key)), None)


def _matching(names: Any, state_dict: Mapping[str, Tensor]) -> tuple[str, ...] | None:
    """Return the class names if there is one for each class of the weights."""
    if isinstance(names, str):  # of a single class
        names = (names,)
    if not isinstance(names, list | tuple) or len(names) != len(state_dict.get(_CLASS_WEIGHT, ())):
        return None
    return tuple(str(name) for name in names)


def _is_short(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and "\n" not in value)
