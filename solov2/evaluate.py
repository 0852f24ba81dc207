"""Measure a model on COCO-format data: `python -m solov2.evaluate --help`.

Here the options are read and checked, without torch; the work is in `solov2.evaluation.evaluate_run`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from solov2.cli import (
    CommandParser,
    add_debug_flag,
    add_engine_option,
    add_input_size_option,
    importing,
    program,
    run_command,
)
from solov2.errors import SOLOv2Error
from solov2.files import check_writable
from solov2.pixel_limit import add_pixel_option
from solov2.runtime.names import check_device_name, check_dtype_name, check_engine_name
from solov2.variants import VARIANTS, find_weights_file


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(build_parser(), evaluate, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = CommandParser(
        prog=program("solov2.evaluate"),
        description="Measure the COCO figures of a model's masks and of the boxes around them.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", metavar="NAME_OR_FILE", help="a variant with its own weights, or a weights file")
    what.add_argument(
        "--from-predictions", type=Path, metavar="JSON", help="measure these, in COCO's results format, run no model"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the pictures; needed with --model")
    parser.add_argument("--annotations", type=Path, required=True, metavar="JSON", help="their COCO annotations")
    parser.add_argument("--classes", metavar="A,B", help="categories to measure (default: all that the model knows)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="float32", help="float32 (default), bfloat16, float16 or auto, the fastest")
    add_engine_option(parser)
    add_input_size_option(parser)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="pictures at once (default: 1)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="write the figures there")
    parser.add_argument("--predictions", type=Path, metavar="JSON", help="write the predictions there")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def evaluate(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    if options.model and options.model not in VARIANTS:
        find_weights_file(options.model)
    check_device_name(options.device)
    check_dtype_name(options.dtype)
    check_engine_name(options.engine)
    if options.batch < 1:
        raise SOLOv2Error(f"--batch must be at least 1, got {options.batch}")
    if options.model and not options.images:
        raise SOLOv2Error("--model needs --images DIR, the folder of the pictures")
    for path in filter(None, (options.out, options.predictions)):
        check_writable(path, makes_folder=True)
    with importing():
        from solov2.evaluation.evaluate_run import run_evaluation
    return run_evaluation(options)


if __name__ == "__main__":
    raise SystemExit(main())
