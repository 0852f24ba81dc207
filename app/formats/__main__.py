"""`python -m app.formats`: turn an instances.jsonl into annotations that other tools read."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from app.errors import AppError
from app.formats import FORMATS
from app.formats.pictures import write_pictures
from app.sources import open_source
from solov2 import SOLOv2Error, UnknownNameError
from solov2.cli import CommandParser, add_debug_flag, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 after an error of the user's, 130 after Ctrl-C."""
    return run_command(build_parser(), convert, argv, user_errors=(SOLOv2Error, AppError))


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog="python -m app.formats", description=__doc__)
    add = parser.add_argument
    add("instances", type=Path, metavar="INSTANCES.jsonl", help="what was found in each frame")
    add("--format", required=True, metavar="NAME,NAME", help=f"of {', '.join(FORMATS)}")
    add("--out", type=Path, metavar="DIR", help="where to write (beside INSTANCES.jsonl)")
    add("--pictures", metavar="SOURCE", help="the video or folder that was annotated: write its frames to images/, too")
    add_debug_flag(parser)
    return parser


def convert(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit code."""
    folder = options.out or options.instances.parent
    for name in parse_formats(options.format):
        print(f"wrote {FORMATS[name](options.instances, folder)}", flush=True)
    if options.pictures is not None:
        with closing(open_source(options.pictures)) as source:
            print(f"wrote {write_pictures(options.instances, folder, source)}")
    return 0


def parse_formats(text: str) -> list[str]:
    """Return the names in a list such as "coco,yolo", each once.

    Raises:
        UnknownNameError: one is not among `FORMATS`.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise UnknownNameError("format", name, FORMATS)
    return names


if __name__ == "__main__":
    sys.exit(main())
