"""From a name or a file to a model that is ready to predict."""

from pathlib import Path

import torch

from solov2.checkpoint import Checkpoint, fit_state_dict, read_checkpoint, recognise_variant
from solov2.config import VARIANTS, Variant, find_variant
from solov2.engine import find_device, prepare
from solov2.errors import CheckpointError, UnknownNameError
from solov2.model import SOLOv2
from solov2.published import weights_path


def load_model(
    name: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SOLOv2:
    """Return a model with its weights, in eval mode.

    Args:
        name: a variant (`VARIANTS` lists them), or a weights file, whose variant is then recognised.
        checkpoint: a weights file of that variant. None means the embedded ones for `nano`, and for the others the
            published ones, downloaded into the user's cache once.
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is one.
        dtype: precision of weights and network. float32 gives the reference's masks to the last pixel; float16 on
            CUDA and bfloat16 on newer CPUs are faster (`solov2.engine.fastest_dtype`).

    Raises:
        UnknownNameError: there is no such variant or device.
        CheckpointError: the file cannot be read, is damaged, or belongs to another variant.
        DownloadError: the published weights could not be fetched.
    """
    place = device if isinstance(device, torch.device) else find_device(device)
    if checkpoint is None and str(name) not in VARIANTS:
        checkpoint = _existing_file(Path(name))
        weights = read_checkpoint(checkpoint)
        variant = _variant_of(weights, checkpoint)
    else:
        variant = find_variant(str(name))
        weights = read_checkpoint(checkpoint or weights_path(variant.name))
    model = SOLOv2(variant, _class_names(weights, variant))
    model.load_state_dict(fit_state_dict(weights.state_dict, model))
    return prepare(model, place, dtype)


def _existing_file(path: Path) -> Path:
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise CheckpointError(f"no such weights file: {path}. A variant's name works too: {', '.join(VARIANTS)}")
    raise UnknownNameError("variant", str(path), VARIANTS)


def _variant_of(weights: Checkpoint, path: Path | str) -> Variant:
    name = weights.variant or recognise_variant(weights.state_dict)
    if name is None:
        raise CheckpointError(
            f"{path} is of no known variant: its {len(weights.state_dict)} tensors, such as "
            f"{next(iter(weights.state_dict))}, fit none of {', '.join(VARIANTS)}"
        )
    return find_variant(name)


def _class_names(weights: Checkpoint, variant: Variant) -> tuple[str, ...]:
    """Return the file's class names, the variant's where their number fits, else "class 0", "class 1", ..."""
    bias = weights.state_dict.get("mask_head.conv_cls.bias")
    count = len(variant.class_names) if bias is None else len(bias)
    if weights.class_names and len(weights.class_names) == count:
        return weights.class_names
    if count == len(variant.class_names):
        return variant.class_names
    return tuple(f"class {label}" for label in range(count))
