"""`python -m app.benchmark`: where a frame's milliseconds go, step by step, one frame at a time."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from app.options import add_model_options, check_model_options, count
from app.sinks.writable import check_writable
from app.sources import find_source
from solov2.cli import CommandParser, add_debug_flag, importing, program, run_command
from solov2.pixel_limit import add_pixel_option


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(), benchmark, argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog=program("app.benchmark"), description="Where a frame's milliseconds go, step by step.")
    add = parser.add_argument
    add("--source", default="demo", help="whose frames to use (%(default)s)")
    add_model_options(parser)
    add(
        "--untrained",
        action="store_true",
        help="random weights of the named variant: for times alone, with no download",
    )
    add("--frames", type=count, default=100, help="how many to time, after 10 to warm up (%(default)s)")
    add("--all-engines", action="store_true", help="time each engine that is installed, turn by turn")
    add("--picture", type=Path, metavar="FILE.png", help="draw the medians there")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def benchmark(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    check_model_options(options)
    find_source(options.source)
    for path in filter(None, (options.json, options.picture)):
        check_writable(path)
    with importing():
        from app.benchmark_run import time_and_print
    return time_and_print(options)


if __name__ == "__main__":
    sys.exit(main())
