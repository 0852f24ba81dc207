"""`python -m app.annotate`: find the instances in videos and pictures, and write them down frame by frame.

What is done stays done: after an interruption the same command goes on where it stopped.
"""

import signal

if __name__ == "__main__":  # Ctrl-C ends the imports, which take seconds, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from tqdm import tqdm

from app.annotation.formats import NEED_TRACK_IDS, check_formats
from app.annotation.inputs import Input, find_inputs
from app.annotation.job import Job, ShowProgress, Wanted
from app.annotation.jsonl_file import FileSource, Settings, model_header
from app.annotation.outcome import Outcome, table
from app.annotation.resumable_tracking import Recorder
from app.drawing.renderer import Renderer
from app.options import add_model_options, check_classes, count, moment, names, score
from app.processors.tracker import Tracker
from app.segmenter import Segmenter
from app.sinks.progress import ProgressSink
from app.sources import open_source
from app.stream.frames import ControlPanel, Controls, Result
from app.stream.pipeline import Sink, stream
from app.stream.stats import StreamStats
from app.stream_errors import AppError, SourceError
from solov2 import SOLOv2, load_model
from solov2.cli import EXIT_INTERRUPTED, CommandParser, add_debug_flag, run_command
from solov2.runtime.device import find_device

EXIT_WITH_PROBLEMS = 1
GPU_BATCH = 8


def annotate(
    source: str | Path | FileSource,
    model: SOLOv2 | str = "nano",
    sinks: Sequence[Sink] = (),
    settings: Settings | None = None,
) -> Generator[Result, None, None]:
    """Yield what is in each frame, while the next ones are already being decoded and segmented.

    Masks are as `instances.jsonl` holds them: of the picture's own size, none empty, scores of four digits.

    Args:
        source: the path of a video, a picture or a folder of pictures, or an opened source that is not live.
        model: one that is loaded, or the name of a variant or weights file, for the best device there is.
        sinks: get every result, too, before it is yielded; an `AnnotationSink` or a `VideoSink`, say.
        settings: threshold, classes, stretch, stride, batch and tracking; None means the defaults.

    Raises:
        SourceError: the source is live, or cannot be opened, or read to its end; what could be read was yielded before.
        UnknownNameError: there is no such model, or no such class in it.
    """
    settings = settings or Settings()
    if isinstance(model, str):
        model = load_model(model, device="auto", dtype="auto")
    check_classes(settings.classes, model.class_names)
    is_opened = not isinstance(source, str | Path)
    opened = cast(FileSource, source if is_opened else open_source(str(source), model.device.type == "cuda"))
    if opened.is_live:
        opened.close()
        raise SourceError(f"{opened.source_id} is live: annotate a file, or run app.stream.pipeline.stream on it")
    opened.selection = settings.selection()
    panel = ControlPanel(settings.controls())
    segmenter = Segmenter(model, panel, batch_size=settings.batch)
    segmenter.is_live = False
    recorder = Recorder(segmenter, Tracker() if settings.track else None)
    renderer = Renderer(model.class_names)
    yield from stream(
        opened, recorder, lambda result: renderer.draw(result, Controls()), sinks, ControlPanel(), StreamStats()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0: all is done. 1: some inputs could not be read, or not to their end. 2: an error of the user's. 130: interrupted.
    """
    return run_command(build_parser(), annotate_all, argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog="python -m app.annotate", description=__doc__)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="video, picture, folder, glob, sequence (frames/%%04d.png), .txt file with names, - for names on standard "
        "input, or 'demo'; a name that begins with a dash: ./-name",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="gets a folder for each input")
    add("--video", action="store_true", help="write the annotated video, too, with the sound and every timestamp")
    add(
        "--format",
        type=names,
        default=frozenset(),
        metavar="NAME,NAME",
        help="other formats: coco, yolo, cvat, labelme, masks, youtube-vis",
    )
    add("--track", action="store_true", help="give each instance an id that lasts")
    add("--score", type=score, default=Settings().score, help="least score, 0 to 1 (%(default)s)")
    add("--classes", type=names, metavar="NAME,NAME", help="look for these classes only")
    add("--start", type=moment, metavar="TIME", help="from here on: seconds, or 1:30.5")
    add("--end", type=moment, metavar="TIME", help="up to here")
    add("--stride", type=count, default=1, metavar="N", help="every N-th frame (%(default)s)")
    add("--batch", type=count, metavar="N", help=f"frames that run together ({GPU_BATCH} on CUDA, else 1)")
    add_model_options(parser)
    add("--json", action="store_true", help="print the summary as JSON")
    add_debug_flag(parser)
    return parser


def annotate_all(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit code."""
    inputs = find_inputs(options.inputs, options.out)
    formats = formats_of(options)
    if options.start is not None and options.end is not None and options.start >= options.end:
        raise AppError(f"--start must lie before --end, got {options.start:g} and {options.end:g} seconds")
    job = open_job(options, formats, partial(progress_lines, line=int(len(inputs) > 1)))
    for one in inputs:
        job.check(one)
    try:
        outcomes = do_all(job, inputs)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where this one stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps([one.as_dict() for one in outcomes], indent=2) if options.json else table(outcomes))
    return EXIT_WITH_PROBLEMS if any(one.problem or not one.is_done for one in outcomes) else 0


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


def open_job(options: argparse.Namespace, formats: tuple[str, ...], progress: ShowProgress) -> Job:
    """Load the model and make it ready."""
    device = find_device(options.device)
    model = load_model(options.model, device=device, dtype=options.dtype)
    classes = check_classes(options.classes, model.class_names)
    batch = options.batch or (GPU_BATCH if device.type == "cuda" else 1)
    settings = Settings(options.score, classes, options.start, options.end, options.stride, batch, options.track)
    segmenter = Segmenter(model, ControlPanel(settings.controls()), batch_size=batch)
    segmenter.is_live = False
    segmenter.warm_up()
    header = model_header(Path(options.model).name, model)
    return Job(options.out, settings, header, Wanted(options.video, formats), segmenter, progress)


def do_all(job: Job, inputs: Sequence[Input]) -> list[Outcome]:
    """Do one input after the other, counting them where there are several and a terminal to show it on."""
    shows_count = len(inputs) > 1 and is_terminal()
    with tqdm(inputs, desc="inputs", unit="input", dynamic_ncols=True, disable=not shows_count) as counted:
        return [job.do(one) for one in counted]


def progress_lines(label: str, done: int, total: int | None, unit: str, line: int) -> list[ProgressSink]:
    """Return what shows how an input goes on, below `line` other lines; nothing where it is no terminal."""
    return [ProgressSink(total, label, done, line, unit)] if is_terminal() else []


def is_terminal() -> bool:
    """Whether somebody may be looking at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
