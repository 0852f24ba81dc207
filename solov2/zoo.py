"""The weights that this project knows, and any file of them: `python -m solov2.zoo --help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from solov2.cli import CommandParser, add_debug_flag, importing, program, run_command
from solov2.variants import VARIANTS, find_variant


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = CommandParser(prog=program("solov2.zoo"), description="The weights that this project knows.")
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
    convert.add_argument("--float16", action="store_true", help="store convolutions in float16, in half the bytes")
    for command in (download, info, convert):
        add_debug_flag(command)
    return parser


def _list(_options: argparse.Namespace) -> int:
    from solov2.checkpoints.published import published_weights

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
    find_variant(options.variant)
    from solov2.checkpoints.published import weights_path

    print(weights_path(options.variant))
    return 0


def _info(options: argparse.Namespace) -> int:
    with importing():
        from solov2.checkpoints.zoo_run import print_info
    return print_info(options)


def _convert(options: argparse.Namespace) -> int:
    with importing():
        from solov2.checkpoints.zoo_run import convert
    return convert(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m solov2.zoo` and return its exit code."""
    commands = {"list": _list, "download": _print_path, "info": _info, "convert": _convert}
    return run_command(build_parser(), lambda options: commands[options.command](options), argv)


if __name__ == "__main__":
    sys.exit(main())
