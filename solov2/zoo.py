"""The weights that this project knows, and any file of them: `python -m solov2.zoo --help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from solov2.checkpoints.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from solov2.checkpoints.identify import class_count, describe_misfit, fit_state_dict, identify_variant, variant_of
from solov2.checkpoints.published import published_weights, sha256_of, weights_path
from solov2.cli import CommandParser, add_debug_flag, run_command
from solov2.errors import CheckpointError
from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m solov2.zoo", description="The weights that this project knows.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_debug_flag(commands.add_parser("list", help="the variants, and which weights are here"))
    download = commands.add_parser("download", help="fetch the published weights of a variant, print their path")
    download.add_argument("variant", help=f"one of {', '.join(VARIANTS)}")
    info = commands.add_parser("info", help="what a weights file holds")
    info.add_argument("file", type=Path, help="weights of any kind that can be read")
    convert = commands.add_parser("convert", help="write the weights of any readable file as safetensors")
    convert.add_argument("file", type=Path, help="weights of any kind that can be read")
    convert.add_argument("out", type=Path, help="ends in .safetensors")
    convert.add_argument("--classes", metavar="A,B", help="names of the classes, where the file does not say them")
    for command in (download, info, convert):
        add_debug_flag(command)
    return parser


def _list(_options: argparse.Namespace) -> int:
    print(f"{'name':<15}{'backbone':<19}{'mask AP':<9}{'test size':<12}weights")
    for name, row in VARIANTS.items():
        published = published_weights(name)
        if published is None:
            state = "embedded" if row.weights_file else "none published"
        else:
            state = f"cached: {published.path}" if published.path.exists() else "not downloaded"
        mask_ap = "-" if row.mask_ap is None else f"{row.mask_ap:.1f}"
        print(f"{name:<15}{row.backbone:<19}{mask_ap:<9}{f'{row.long_px} x {row.short_px}':<12}{state}")
    return 0


def _print_path(options: argparse.Namespace) -> int:
    print(weights_path(options.variant))
    return 0


def _info(options: argparse.Namespace) -> int:
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
        "left out": ", ".join(checkpoint.left_out) or "nothing",
        "SHA-256": sha256_of(options.file),
        **checkpoint.metadata,
    }
    size_px = checkpoint.input_px or (VARIANTS[variant].long_px, VARIANTS[variant].short_px) if variant else None
    if size_px:
        rows["test size"] = f"{size_px[0]} x {size_px[1]}"
    for title, value in rows.items():
        print(f"{title:<17} {value}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    if options.out.suffix != ".safetensors":
        raise CheckpointError(f"the output must end in .safetensors, got {options.out}")
    checkpoint = read_checkpoint(options.file)
    variant = variant_of(checkpoint, options.file)
    class_names = _class_names(checkpoint, variant, options)
    with torch.device("meta"):
        model = SOLOv2(VARIANTS[variant], class_names)
    weights = fit_state_dict(checkpoint.state_dict, model)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m solov2.zoo` and return its exit code."""
    commands = {"list": _list, "download": _print_path, "info": _info, "convert": _convert}
    return run_command(_parser(), lambda options: commands[options.command](options), argv)


if __name__ == "__main__":
    sys.exit(main())
