"""`python -m app.annotate`: find the instances in videos and pictures, and write them down frame by frame.

What is done stays done: after an interruption the same command goes on where it stopped. Here the options are read and
checked, without torch; the work is in `app.annotate_run`. `annotate` is the same for programs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.annotation.formats import NEED_TRACK_IDS, check_formats
from app.annotation.settings import Settings
from app.options import add_model_options, areas_of, check_model_options, count, effect, moment, names, score
from app.stream.areas import Area
from app.stream.effect import USAGE
from app.stream_errors import AppError
from solov2.cli import CommandParser, add_debug_flag, importing, program, run_command
from solov2.pixel_limit import add_pixel_option

if TYPE_CHECKING:
    from app.annotate_run import annotate

__all__ = ["annotate", "build_parser", "main"]

CHUNK_FRAMES = 1000

DESCRIPTION = (
    "Find the instances in videos and pictures, and write them down frame by frame. After an interruption the same "
    "command resumes where it stopped."
)


def __getattr__(name: str) -> object:
    """Import `annotate`, which needs torch, when a program asks for it (PEP 562)."""
    if name != "annotate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from app.annotate_run import annotate

    return annotate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0: all is done. 1: some inputs could not be read, or not to their end. 2: an error of the user's. 130: interrupted.
    """
    return run_command(build_parser(), run, argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog=program("app.annotate"), description=DESCRIPTION)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="video, picture, folder, glob, sequence (frames/%%04d.png), .txt file with names, - for names on standard "
        "input, or 'demo'; a name that begins with a dash: ./-name",
    )
    add("--out", required=True, metavar="DIR", help="gets a folder for each input")
    add("--video", action="store_true", help="write the annotated video, too, with the sound and every timestamp")
    add(
        "--format",
        type=names,
        default=frozenset(),
        metavar="NAME,NAME",
        help="other formats: coco, yolo, cvat, labelme, masks, youtube-vis",
    )
    add(
        "--effect",
        action="append",
        default=[],
        type=effect,
        metavar="EFFECT",
        help=f"in the video: {USAGE}; repeatable",
    )
    add("--track", action="store_true", help="give each instance an id that lasts")
    add("--zones", type=Path, metavar="ZONES.yaml", help="watch its zones and lines: events.jsonl, zones.csv; tracks")
    add("--score", type=score, default=Settings().score, help="least score, 0 to 1 (%(default)s)")
    add("--classes", type=names, metavar="NAME,NAME", help="look for these classes only")
    add("--start", type=moment, metavar="TIME", help="from here on: seconds, or 1:30.5")
    add("--end", type=moment, metavar="TIME", help="up to here")
    add("--stride", type=count, default=1, metavar="N", help="every N-th frame (%(default)s)")
    add("--batch", type=count, metavar="N", help="frames that run together (8 on CUDA, else 1)")
    add_model_options(parser)
    add_ray_options(parser)
    add("--json", action="store_true", help="print the summary as JSON")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    check_model_options(options)
    areas = areas_of(options.zones)
    options.track = options.track or bool(areas)
    formats = formats_of(options)
    if options.start is not None and options.end is not None and options.start >= options.end:
        raise AppError(f"--start must lie before --end, got {options.start:g} and {options.end:g} seconds")
    if options.effect and not options.video:
        raise AppError("--effect changes the annotated video: add --video")
    if options.ray is not None:
        if options.effect:  # workers record what is shown, which is less than what has to be hidden
            raise AppError("--effect works on this machine only: leave out --ray")
        return run_on_ray(options, formats, areas)
    check_no_ray_options(options)
    options.out = Path(options.out)
    with importing():
        from app.annotation.inputs import find_inputs
    inputs = find_inputs(options.inputs, options.out)
    with importing():
        from app.annotate_run import annotate_all
        from app.annotation.job import WantedOutputs
    return annotate_all(options, inputs, WantedOutputs(options.video, formats, areas, tuple(options.effect)))


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that spread the work over a Ray cluster."""
    add = parser.add_argument_group("many workers").add_argument
    add(
        "--ray", metavar="ADDRESS", help="let workers of a Ray cluster do it: local, auto, HOST:PORT or ray://HOST:PORT"
    )
    add("--ray-workers", type=count, metavar="N", help="how many (one for each GPU, or for each 4 CPUs)")
    add("--ray-chunk", type=count, metavar="FRAMES", help=f"that one worker does at a time ({CHUNK_FRAMES})")


def check_no_ray_options(options: argparse.Namespace) -> None:
    """Raise AppError if an option has no meaning without `--ray`."""
    if options.ray_workers is not None or options.ray_chunk is not None:
        raise AppError("--ray-workers and --ray-chunk are for --ray: add --ray local, or an address")
    if "://" in options.out:
        raise AppError("--out in an object store needs --ray: add --ray local, or name a folder of this machine")


def run_on_ray(options: argparse.Namespace, formats: tuple[str, ...], areas: tuple[Area, ...]) -> int:
    """Check what concerns Ray, and let its workers do what the options say; return the exit code."""
    from app.cluster.ray_address import check_ray

    options.ray = check_ray(options.ray)
    options.ray_chunk = options.ray_chunk or CHUNK_FRAMES
    with importing():
        from app.annotation.job import WantedOutputs
        from app.cluster.ray_run import annotate_on_ray
    return annotate_on_ray(options, WantedOutputs(options.video, formats, areas))


def formats_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the formats that are wanted.

    Raises:
        UnknownNameError: there is no such format.
        AppError: one needs ids that last, and nobody gives them.
    """
    formats = check_formats(options.format)
    for name in formats:
        if name in NEED_TRACK_IDS and not options.track:
            raise AppError(f"the format {name} tells what happens to each instance over time: add --track")
    return formats


if __name__ == "__main__":
    sys.exit(main())
