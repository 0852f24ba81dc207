"""What `solov2.zoo` does with weights files: say what one holds, and convert it."""

import argparse

import torch

from solov2.checkpoints.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from solov2.checkpoints.identify import class_count, describe_misfit, fit_state_dict, identify_variant, variant_of
from solov2.checkpoints.published import sha256_of
from solov2.errors import CheckpointError, few_of
from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS

CONVOLUTION_AXES = 4  # of a convolution's weight; biases and norms have one


def print_info(options: argparse.Namespace) -> int:
    """Print what a weights file holds; return the exit code."""
    checkpoint = read_checkpoint(options.file)
    tensors = checkpoint.state_dict
    numbers = sum(tensor.numel() for name, tensor in tensors.items() if name.rpartition(".")[2] in ("weight", "bias"))
    names = checkpoint.class_names
    variant = checkpoint.variant or identify_variant(tensors)
    rows = {
        "format": checkpoint.source,
        "variant": variant or f"unknown: {describe_misfit(tensors)}",
        "classes": f"{len(names)}: {', '.join(names)}" if names else "not said",
        "tensors": f"{len(tensors)}, with {numbers / 1e6:.1f} M parameters",
        "left out": few_of(checkpoint.left_out, 20) or "nothing",
        "SHA-256": sha256_of(options.file),
    }
    size_px = checkpoint.input_px or (VARIANTS[variant].long_px, VARIANTS[variant].short_px) if variant else None
    if size_px:
        rows["test size"] = f"{size_px[0]} x {size_px[1]}"
    for title, value in ({**checkpoint.metadata} | rows).items():  # what the file says hides nothing
        print(f"{title:<17} {value}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """Write the weights of a readable file as safetensors; return the exit code."""
    if options.out.suffix != ".safetensors":
        raise CheckpointError(f"the output must end in .safetensors, got {options.out}")
    checkpoint = read_checkpoint(options.file)
    variant = variant_of(checkpoint, options.file)
    class_names = _class_names(checkpoint, variant, options)
    with torch.device("meta"):
        model = SOLOv2(VARIANTS[variant], class_names)
    weights = fit_state_dict(checkpoint.state_dict, model)
    if options.float16:
        weights = {
            name: tensor.half() if tensor.ndim == CONVOLUTION_AXES else tensor for name, tensor in weights.items()
        }
    save_checkpoint(options.out, weights, variant, class_names, checkpoint.metadata, checkpoint.input_px)
    written = read_checkpoint(options.out).state_dict
    if written.keys() != weights.keys() or not all(torch.equal(written[name], weights[name]) for name in weights):
        raise CheckpointError(f"{options.out} does not read back as it was written. Check the disk.")
    print(f"{options.out}: {variant}, {len(class_names)} classes")
    return 0


def _class_names(checkpoint: Checkpoint, variant: str, options: argparse.Namespace) -> tuple[str, ...]:
    row, count = VARIANTS[variant], class_count(checkpoint, variant)
    if options.classes:
        names = tuple(options.classes.split(","))
        if len(names) != count:
            raise CheckpointError(f"--classes must name the {count} classes of {options.file}, got {len(names)}")
        return names
    if checkpoint.class_names:
        return checkpoint.class_names
    if count != len(row.class_names):
        raise CheckpointError(f"{options.file} does not name its {count} classes. Name them with --classes A,B,...")
    return row.class_names
