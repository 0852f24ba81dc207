"""Train any variant on one's own labelled pictures or on COCO-format data: `python -m solov2.train --help`.

A run lives in one folder: `log.jsonl` (a line per logged step and per validation), `last.pt` (everything needed to go
on), `best.safetensors` (the averaged weights with the best validation AP), `pictures/` (what was found on some
validation pictures after each epoch), `report.html` (all of it on one page). The same command continues a run that was
cut off. `torchrun --nproc-per-node N -m solov2.train ...` trains on N GPUs.

Here the options are read and checked, without torch; the work is in `solov2.training.train_run`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from solov2.cli import CommandParser, add_debug_flag, importing, program, run_command
from solov2.errors import SOLOv2Error
from solov2.pixel_limit import add_pixel_option
from solov2.runtime.names import check_device_name, check_dtype_name
from solov2.training.train_config import PRESETS, find_preset, published_ap
from solov2.variants import VARIANTS, find_variant


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(build_parser(), train, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = CommandParser(
        prog=program("solov2.train"),
        description="Train on a folder of your own labelled pictures (--data), or on COCO-format data.",
        epilog="The published schedules, and the mask AP on COCO val2017 that they should reach:\n" + published_ap(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", type=Path, metavar="FOLDER", help="labelled pictures in COCO's, YOLO's or LabelMe's layout"
    )
    data.add_argument("--images", type=Path, metavar="DIR", help="instead: folder of the training pictures")
    data.add_argument("--annotations", type=Path, metavar="JSON", help="their COCO annotations")
    data.add_argument(
        "--val-images", type=Path, metavar="DIR", help="folder of the validation pictures (default: --images)"
    )
    data.add_argument(
        "--val-annotations", type=Path, metavar="JSON", help="their annotations; without, no AP is measured"
    )
    data.add_argument("--classes", metavar="A,B", help="categories to learn, in this order (default: all, by id)")
    run = parser.add_argument_group("run")
    run.add_argument("--preset", help=f"one of {', '.join(PRESETS)} (default: the variant's)")
    run.add_argument("--variant", help=f"one of {', '.join(VARIANTS)} (default: the preset's, else nano)")
    run.add_argument(
        "--out",
        type=Path,
        default=Path("runs/train"),
        metavar="DIR",
        help="the run's folder; continues one that is there (default: runs/train)",
    )
    run.add_argument(
        "--init",
        metavar="FILE_OR_NAME",
        help="start from these weights, with whatever classes, or from a variant's own (default with --data)",
    )
    run.add_argument(
        "--backbone",
        type=Path,
        metavar="FILE",
        help="start from backbone weights with torchvision's names (default: torchvision's ImageNet weights)",
    )
    run.add_argument("--epochs", type=int, help="with --data, these and the next two follow from the set's size")
    run.add_argument("--batch-size", type=int, help="of all processes together")
    run.add_argument("--learning-rate", type=float)
    run.add_argument("--seed", type=int)
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    run.add_argument("--dtype", default="auto", help="of the forward pass: auto, float32, bfloat16 or float16")
    run.add_argument("--workers", type=int, default=1, help="processes that prepare pictures (default: 1)")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def train(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    check_options(options)
    with importing():
        from solov2.training.train_run import run_training
    return run_training(options)


def check_options(options: argparse.Namespace) -> None:
    """Find mistakes in the options, as far as that can be done without torch and without reading the data.

    Raises:
        UnknownNameError: there is no such variant, preset, device or precision.
        SOLOv2Error: a number is out of its range, or options are missing or do not go together.
    """
    if options.variant:
        find_variant(options.variant)
    if options.preset:
        find_preset(options.preset)
    check_device_name(options.device)
    check_dtype_name(options.dtype)
    if options.workers < 0:
        raise SOLOv2Error(f"--workers must be 0 or more, got {options.workers}")
    if bool(options.data) == bool(options.images) or bool(options.images) != bool(options.annotations):
        raise SOLOv2Error("name the pictures by --data FOLDER, or by --images DIR and --annotations JSON")
    if options.data and (options.val_images or options.val_annotations):
        raise SOLOv2Error("--data finds its validation pictures itself: leave out --val-images and --val-annotations")
    if options.val_images and not options.val_annotations:
        raise SOLOv2Error("--val-images needs --val-annotations JSON")
    if options.init and options.backbone:
        raise SOLOv2Error("--init and --backbone both say where to start from: give one of them")


if __name__ == "__main__":
    raise SystemExit(main())
