"""`python -m app.formats`: turn an instances.jsonl into annotations that other tools read."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from app.annotation.formats import FORMATS, check_formats
from app.options import names
from app.sources import open_source
from solov2.cli import CommandParser, add_debug_flag, program, run_command
from solov2.pixel_limit import add_pixel_option


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 after an error of the user's, 130 after Ctrl-C."""
    return run_command(build_parser(), convert, argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog=program("app.formats"), description=__doc__)
    add = parser.add_argument
    add("instances", type=Path, metavar="INSTANCES.jsonl", help="what was found in each frame")
    add("--format", type=names, required=True, metavar="NAME,NAME", help=f"of {', '.join(FORMATS)}")
    add("--out", type=Path, metavar="DIR", help="where to write (beside INSTANCES.jsonl)")
    add("--pictures", metavar="SOURCE", help="the video or folder that was annotated: write its frames to images/, too")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def convert(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit code."""
    folder = options.out or options.instances.parent
    for name in check_formats(options.format):
        print(f"wrote {FORMATS[name](options.instances, folder)}", flush=True)
    if options.pictures is not None:
        from app.annotation.formats.export_pictures import write_pictures

        with closing(open_source(options.pictures)) as source:
            print(f"wrote {write_pictures(options.instances, folder, source)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
