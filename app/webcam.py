"""`python -m app.webcam`: segment a camera, a stream, a video or pictures, in a window, into a file, or both.

Here the options are read and checked, without torch, so that help and mistakes are answered at once. The work is in
`app.webcam_run`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app.options import add_model_options, check_model_options, count, names, score
from app.sinks.writable import check_video_path, check_writable
from app.sources import find_source
from app.stream.controls import Controls
from app.stream_errors import SinkError
from solov2.cli import CommandParser, add_debug_flag, importing, program, run_command
from solov2.output_lock import locked
from solov2.pixel_limit import add_pixel_option

DESCRIPTION = "Segment a camera, a stream, a video or pictures, in a window, into a file, or both."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 after an error of the user's, 130 after Ctrl-C or SIGTERM."""
    return run_command(build_parser(), webcam, argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog=program("app.webcam"), description=DESCRIPTION)
    add = parser.add_argument
    add("--source", default="0", help="camera number (0), video, picture, folder of pictures, address, or 'demo'")
    add_model_options(parser)
    add("--save", type=Path, metavar="FILE.mp4", help="write the annotated video there")
    add("--headless", action="store_true", help="open no window")
    add("--score", type=score, default=Controls().score_threshold, help="least score to show, 0 to 1 (%(default)s)")
    add("--classes", type=names, metavar="NAME,NAME", help="show these classes only")
    add("--track", action="store_true", help="give each instance an id and a colour that last")
    add("--max-frames", type=count, metavar="N", help="stop after N frames")
    add("--stats-json", type=Path, metavar="FILE", help="write rates, ages and drops there at the end")
    add("--no-readout", action="store_true", help="draw no rates into the picture")
    add("--list-cameras", action="store_true", help="list the cameras that can be opened, and stop")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def webcam(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    if not options.list_cameras:
        check_model_options(options)
        find_source(options.source)
        check_outputs(options)
    with importing():
        from app.webcam_run import print_cameras, segment_live
    if options.list_cameras:
        return print_cameras()
    with locked(*([options.save] if options.save else [])):
        return segment_live(options)


def check_outputs(options: argparse.Namespace) -> None:
    """Find out before the run whether every output can be written.

    Raises:
        SinkError: one of them cannot, or is the source.
    """
    if options.save is not None:
        check_video_path(options.save)
    if options.stats_json is not None:
        check_writable(options.stats_json)
    if options.save and options.stats_json and os.path.realpath(options.save) == os.path.realpath(options.stats_json):
        raise SinkError(f"--save and --stats-json both name {options.save}: name two files")
    for path in filter(None, (options.save, options.stats_json)):
        if path.exists() and os.path.exists(options.source) and path.samefile(options.source):
            raise SinkError(f"{path} is the source itself: choose another name for the output")


if __name__ == "__main__":
    sys.exit(main())
