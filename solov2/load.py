"""From a name or a file to a model that is ready to predict."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from solov2.checkpoints.checkpoint import Checkpoint, read_checkpoint
from solov2.checkpoints.identify import class_count, fit_state_dict, variant_of
from solov2.checkpoints.published import weights_path
from solov2.errors import CheckpointError, MissingExtraError
from solov2.network.deformable import DeformableConv2d
from solov2.network.model import SOLOv2
from solov2.runtime.device import find_device, find_dtype, prepare, stays_in_range, widest_fast_dtype
from solov2.variants import VARIANTS, Variant, find_variant, find_weights_file


def load_model(
    name: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = torch.float32,
    *,
    input_px: tuple[int, int] | None = None,
) -> SOLOv2:
    """Return a model with its weights, in eval mode.

    Args:
        name: a variant (`VARIANTS` lists them), or a weights file, whose variant is then recognised.
        checkpoint: a weights file of that variant. None means the embedded ones for `nano`, and for the others the
            published ones, downloaded into the user's cache once.
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is one.
        dtype: precision of weights and network, or its name. float32 gives the reference's masks to the last pixel;
            float16 on CUDA and bfloat16 on newer CPUs are faster. "auto" is the fastest
            (`solov2.runtime.device.fastest_dtype`) whose range holds the network's values; that one is not the fastest
            is said on standard error.
        input_px: most that the long and the short side of a picture may have in the network. None means the file's or
            the variant's. Smaller is faster, larger finds smaller instances.

    Raises:
        UnknownNameError: there is no such variant, device or dtype.
        MissingExtraError: the variant has deformable convolutions, and torchvision is not installed.
        CheckpointError: the file cannot be read, is damaged, belongs to another variant, or overflows in float16.
        DownloadError: the published weights could not be fetched.
    """
    place = device if isinstance(device, torch.device) else find_device(device)
    precision = find_dtype(dtype, place) if isinstance(dtype, str) else dtype
    variant, weights = _read(name, checkpoint)
    if input_px:
        variant = replace(variant, long_px=input_px[0], short_px=input_px[1])
    model = prepare(_filled(variant, weights), place, precision)
    if precision == torch.float16 and not stays_in_range(model):
        complaint = f"with these weights the values of {variant.name} leave float16's range of 65,504"
        if dtype != "auto":
            raise CheckpointError(f"{complaint}, and nothing would be found. Use bfloat16 or float32")
        precision = widest_fast_dtype(place)
        print(f"{complaint}: {str(precision).removeprefix('torch.')} is used", file=sys.stderr)
        model = prepare(_filled(variant, weights), place, precision)
    return model


def _read(name: str | Path, checkpoint: str | Path | None) -> tuple[Variant, Checkpoint]:
    """Return the weights that are asked for and the row of their variant, at the size that they are run at."""
    if checkpoint is None and str(name) not in VARIANTS:
        path = find_weights_file(str(name))
        weights = read_checkpoint(path)
        variant = find_variant(variant_of(weights, path))
    else:
        variant = find_variant(str(name))
        weights = read_checkpoint(checkpoint or weights_path(variant.name))
    if weights.input_px:
        variant = replace(variant, long_px=weights.input_px[0], short_px=weights.input_px[1])
    return variant, weights


def _filled(variant: Variant, weights: Checkpoint) -> SOLOv2:
    model = SOLOv2(variant, _class_names(weights, variant))
    check_libraries(model)
    model.load_state_dict(fit_state_dict(weights.state_dict, model))
    return model


def check_libraries(model: SOLOv2) -> None:
    """Import what the layers of `model` need beside torch.

    Raises:
        MissingExtraError: it is not installed.
    """
    if any(isinstance(layer, DeformableConv2d) for layer in model.modules()):
        try:
            import torchvision  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("torchvision", "deformable") from error


def _class_names(weights: Checkpoint, variant: Variant) -> tuple[str, ...]:
    """Return the file's class names, the variant's where their number fits, else "class 0", "class 1", ..."""
    count = class_count(weights, variant.name)
    if weights.class_names:
        return weights.class_names
    if count == len(variant.class_names):
        return variant.class_names
    return tuple(f"class {label}" for label in range(count))
