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

from solov2.checkpoints.tensor_names import OurTensors, under_our_names
from solov2.checkpoints.unpickle import load_without_executing
from solov2.checkpoints.weight_limits import (
    MAX_CLASSES,
    MAX_HEADER_BYTES,
    class_names_of,
    complaint_about_input,
    complaint_about_tensors,
    metadata_of,
    parse_json,
)
from solov2.errors import CheckpointError, few_of
from solov2.variants import VARIANTS, find_variant

Source = Literal["safetensors", "openmmlab", "solo-authors", "state-dict"]

CLASS_WEIGHT = ".conv_cls.weight"  # end of the names of tensors with a row for each class
_SAFETENSORS_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
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
            return _read_safetensors(path, int.from_bytes(head[:8], "little"))
        _refuse_other_files(path, head)
        content, left_out = load_without_executing(path)
        return _from_content(path, content, left_out)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read weights from {path}: {error.strerror or error}.") from error
    except Exception as error:  # of a file that holds what nobody has thought of
        raise CheckpointError(
            f"cannot read weights from {path}: {type(error).__name__}. If other programs read it, please report this "
            "with what --debug shows."
        ) from error


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
    copies = {name: tensor.detach().cpu() for name, tensor in state_dict.items()}
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in copies.items()}
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


def _read_safetensors(path: Path, header_bytes: int) -> Checkpoint:
    if header_bytes > MAX_HEADER_BYTES:
        raise CheckpointError(f"{path} has a header of {header_bytes:,} bytes, at most {MAX_HEADER_BYTES:,} are read.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header: dict[str, str] = file.metadata() or {}
            names = list(file.keys())
            unusual = [name for name in names if file.get_slice(name).get_dtype() not in _SAFETENSORS_DTYPES]
            if unusual:
                raise CheckpointError(
                    f"{path} holds {len(unusual)} tensors of an unusual precision, such as "
                    f"{file.get_slice(unusual[0]).get_dtype()}. Save them as float32, float16 or bfloat16."
                )
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {_one_line(error)}. Get the file again.") from error
    found = _weights_among(path, tensors)
    variant = header.get("variant")
    own_px = parse_json(header.get("input_px"))
    if own_px is not None and (complaint := complaint_about_input(own_px)):
        raise CheckpointError(f"{path} {complaint}.")
    return Checkpoint(
        found.state_dict,
        "safetensors",
        variant=variant if variant in VARIANTS else None,
        class_names=class_names_of(parse_json(header.get("class_names")), _class_count(found.state_dict)),
        input_px=found.input_px if own_px is None else (own_px[0], own_px[1]),
        metadata=metadata_of(parse_json(header.get("metadata"))),
    )


def _weights_among(path: Path, tensors: Mapping[str, Tensor], objects: str = "") -> OurTensors:
    """Return the tensors under our names, once it is sure that copying them needs no more memory than the file."""
    complaint = complaint_about_tensors(tensors, path.stat().st_size)
    if complaint:
        raise CheckpointError(f"{path} {complaint}.")
    found = under_our_names({name: tensor.detach() for name, tensor in tensors.items()})
    if not found.state_dict:
        raise CheckpointError(
            f"{path} holds no weights: no dictionary of tensors in it, or under 'state_dict' in it.{objects}"
        )
    if _class_count(found.state_dict) > MAX_CLASSES:
        raise CheckpointError(
            f"{path} tells {_class_count(found.state_dict):,} classes apart, at most {MAX_CLASSES:,} are read."
        )
    return found


def _class_count(state_dict: Mapping[str, Tensor]) -> int:
    weight = next((tensor for name, tensor in state_dict.items() if name.endswith(CLASS_WEIGHT)), None)
    return 0 if weight is None or not weight.ndim else len(weight)


def _from_content(path: Path, content: Any, left_out: tuple[str, ...]) -> Checkpoint:
    """Find the weights in what a pickle held."""
    outer = content if isinstance(content, dict) else {}
    inner = next((outer[key] for key in _CONTAINERS if isinstance(outer.get(key), dict)), outer)
    tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor) and isinstance(name, str)}
    objects = f" Objects of {few_of(left_out, 3)} are not read: save their state_dict()." if left_out else ""
    found = _weights_among(path, tensors, objects)
    meta = outer.get("meta")
    source: Source = "solo-authors" if found.is_authors else "openmmlab" if isinstance(meta, dict) else "state-dict"
    facts = meta if isinstance(meta, dict) else {}
    named = outer.get("class_names")
    return Checkpoint(
        found.state_dict,
        source,
        variant=next((name for name, row in VARIANTS.items() if row.weights_file == path.name), None),
        class_names=class_names_of(_class_names(facts) if named is None else named, _class_count(found.state_dict)),
        input_px=found.input_px,
        metadata=metadata_of({key: value for key, value in facts.items() if isinstance(value, int | float | str)}),
        left_out=left_out,
    )


def _class_names(meta: Mapping[str, Any]) -> Any:
    """Return what OpenMMLab's files say about the classes; 2.x and 3.x keep it in different places."""
    dataset = meta.get("dataset_meta")
    places = [dataset, meta] if isinstance(dataset, dict) else [meta]
    named = [place.get(key) for place in places for key in ("classes", "CLASSES")]
    return next((names for names in named if isinstance(names, str | list | tuple) and names), None)


def _one_line(error: Exception) -> str:
    """Return what a library says about a file, which may repeat what the file says."""
    return ascii(str(error)[:200])[1:-1]
