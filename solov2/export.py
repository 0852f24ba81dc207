"""Write a model for programs without torch: `python -m solov2.export --help`.

Here the options are read and checked, without torch; the work is in `solov2.runtime.export_run`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from solov2.cli import CommandParser, add_debug_flag, add_input_size_option, importing, program, run_command
from solov2.errors import DatasetError, MissingExtraError, SOLOv2Error
from solov2.files import PICTURE_SUFFIXES, check_writable, find_pictures
from solov2.pixel_limit import add_pixel_option
from solov2.runtime.names import EXPORT_FORMATS, check_engine_name, is_missing
from solov2.variants import VARIANTS, find_weights_file

DESCRIPTION = "Write a model, decoding included, for ONNX Runtime or OpenVINO; --model of the other commands takes it."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(build_parser(), export, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = CommandParser(prog=program("solov2.export"), description=DESCRIPTION)
    add = parser.add_argument
    add("model", metavar="MODEL", help=f"a weights file, or one of: {', '.join(VARIANTS)}")
    add("out", type=Path, metavar="OUT", help="ends in .onnx, or in .xml for OpenVINO, which writes a .bin beside it")
    add("--format", choices=sorted(set(EXPORT_FORMATS.values())), help="what OUT is for (what its ending says)")
    add("--size", type=picture_size, default=(720, 1280), metavar="WxH", help="of the pictures (1280x720)")
    add("--max-candidates", type=int, default=200, metavar="N", help="decoded in each picture (%(default)s)")
    add("--int8", action="store_true", help="quantise the network, for OpenVINO; needs --calibration and nncf")
    add("--calibration", type=Path, metavar="FOLDER", help="pictures like those that will be segmented")
    add_input_size_option(parser)
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def picture_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT; return (height, width)."""
    width, _, height = text.lower().partition("x")
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(height), int(width)
    raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT, such as 1280x720, got {text!r}")


def export(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    if options.model not in VARIANTS:
        find_weights_file(options.model)
    engine = EXPORT_FORMATS.get(options.out.suffix)
    if engine is None or options.format not in (None, engine):
        endings = ", ".join(f"{ending} for {name}" for ending, name in EXPORT_FORMATS.items())
        raise SOLOv2Error(f"OUT must end in {endings}, got {options.out} for {options.format or 'no --format'}")
    check_engine_name(engine)
    if options.max_candidates < 1:
        raise SOLOv2Error(f"--max-candidates must be at least 1, got {options.max_candidates}")
    if options.int8 and (engine != "openvino" or options.calibration is None):
        raise SOLOv2Error("--int8 needs an OUT that ends in .xml, and --calibration FOLDER with pictures")
    if options.int8 and is_missing("nncf"):
        raise MissingExtraError("nncf", "int8")
    if options.calibration is not None and not find_pictures(options.calibration):
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DatasetError(f"--calibration must be a folder with pictures ({kinds}), got {options.calibration}")
    check_writable(options.out, makes_folder=True)
    with importing():
        from solov2.runtime.export_run import run_export
    return run_export(options)


if __name__ == "__main__":
    raise SystemExit(main())
