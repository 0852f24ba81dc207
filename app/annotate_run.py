"""What `app.annotate` does once its options are read: load the model, annotate each input, tell what became of them.

`annotate` is the same for programs: results as a generator, nothing written.
"""

import argparse
import json
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

from tqdm import tqdm

from app.annotation.inputs import Input
from app.annotation.job import Job, ShowProgress, WantedOutputs
from app.annotation.jsonl_file import model_header
from app.annotation.jsonl_lines import as_recorded
from app.annotation.outcome import Outcome, table
from app.annotation.settings import Settings
from app.drawing.effects import check_effects
from app.drawing.renderer import Renderer
from app.options import check_classes
from app.processors.mask_hold import MaskHold
from app.processors.tracking import Tracking
from app.sinks.progress import ProgressSink
from app.sources import open_source
from app.sources.file_source import FileSource, SelectedSource
from app.stream.channel import Channel
from app.stream.controls import ControlPanel
from app.stream.effect import Effect
from app.stream.frames import Result
from app.stream.lane import Lane
from app.stream.parts import Sink
from app.stream.pipeline import Stream
from app.stream_errors import SourceError
from solov2.cli import EXIT_INTERRUPTED
from solov2.output_lock import locked
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.open_predictor import Runnable, load_runnable, open_predictor

EXIT_WITH_PROBLEMS = 1
GPU_BATCH = 8


def annotate(
    source: str | Path | FileSource,
    model: Runnable | str = "nano",
    sinks: Sequence[Sink] = (),
    settings: Settings | None = None,
    engine: str = "eager",
    effects: Sequence[Effect] = (),
) -> Generator[Result, None, None]:
    """Yield what is in each frame, while the next ones are already being decoded and segmented.

    Masks are as `instances.jsonl` holds them: of the picture's own size, none empty, scores of four digits.

    Args:
        source: the path of a video, a picture or a folder of pictures, or an opened source that is not live.
        model: one that is loaded, or the name of a variant or weights file, for the best device there is.
        sinks: get every result, too, before it is yielded; an `AnnotationSink` or a `VideoSink`, say.
        settings: threshold, classes, stretch, stride, batch and tracking; None means the defaults.
        engine: what runs the network, as `--engine` of the command.
        effects: what is done to the picture of each result, as `--effect` of the command.

    Raises:
        SourceError: the source is live, or cannot be opened, or read to its end; what could be read was yielded before.
        UnknownNameError: there is no such model, or no such class in it.
        EffectError: the picture of an effect cannot be read.
    """
    settings = settings or Settings()
    if isinstance(model, str):
        model = load_runnable(model, find_device("auto"), "auto")
    check_classes(settings.classes, model.class_names)
    check_effects(effects, model.class_names)
    is_opened = not isinstance(source, str | Path)
    opened = cast(FileSource, source if is_opened else open_source(str(source), model.device.type == "cuda"))
    if opened.is_live:
        opened.close()
        raise SourceError(f"{opened.source_id} is live: annotate a file, or run app.stream.pipeline.Stream on it")
    predictor = open_predictor(model, engine, "throughput", settings.batch)
    renderer, panel, loop = Renderer(model.class_names), ControlPanel(settings.controls(effects)), CallersLoop()
    lane = Lane(
        SelectedSource(opened, settings.selection()),
        [*sinks, loop],
        [as_recorded, MaskHold(), Tracking(panel), loop.wait],
        draw=lambda result: renderer.draw(result, panel.current),
        panel=panel,
    )
    with closing(Stream([lane], predictor).results()) as results:
        yield from loop.control(results)


class CallersLoop(Sink):
    """Lets the caller's loop decide when the next result goes to the sinks: when the loop asks for it."""

    in_callers_thread = True

    def __init__(self) -> None:
        """Let nothing pass yet."""
        self._asked: Channel[None] = Channel(1)

    def control(self, results: Iterable[Result]) -> Iterator[Result]:
        """Yield `results`, and let the next one pass whenever it is asked for."""
        try:
            self._asked.put(None)
            for result in results:
                yield result
                self._asked.put(None)
        finally:
            self._asked.cancel()

    def wait(self, result: Result) -> Result:
        """Return `result` once it is asked for: the last processor of the lane."""
        self._asked.get()
        return result

    def write(self, result: Result) -> None:
        """Take it: the stream then yields it."""


def annotate_all(options: argparse.Namespace, inputs: Sequence[Input], wanted: WantedOutputs) -> int:
    """Annotate the inputs as the checked options of `app.annotate` say; return the exit code."""
    job = open_job(options, wanted, partial(progress_lines, line=int(len(inputs) > 1)))
    try:
        with locked(*(options.out / one.name for one in inputs)):
            outcomes = do_all(job, inputs)
    except KeyboardInterrupt:
        print("interrupted: the same command resumes where this one stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps([one.as_dict() for one in outcomes], indent=2) if options.json else table(outcomes))
    return EXIT_WITH_PROBLEMS if any(one.problem or not one.is_done for one in outcomes) else 0


def open_job(options: argparse.Namespace, wanted: WantedOutputs, progress: ShowProgress) -> Job:
    """Load the model and make it ready."""
    device = find_device(options.device)
    model = load_runnable(options.model, device, options.dtype, options.input_size)
    classes = check_classes(options.classes, model.class_names)
    for area in wanted.areas:
        check_classes(area.classes, model.class_names)
    check_effects(wanted.effects, model.class_names)
    batch = options.batch or (GPU_BATCH if device.type == "cuda" else 1)
    settings = Settings(options.score, classes, options.start, options.end, options.stride, batch, options.track)
    predictor = open_predictor(model, options.engine, "throughput", batch)
    warm_up(predictor)
    header = model_header(Path(options.model).name, model)
    return Job(options.out, settings, header, wanted, predictor, progress)


def do_all(job: Job, inputs: Sequence[Input]) -> list[Outcome]:
    """Do one input after the other, counting them where there are several and a terminal to show it on.

    Raises:
        SinkError: the outputs of one cannot be completed. Nothing was done then.
        DiskError: an output cannot be written.
    """
    for one in inputs:
        job.check(one)
    shows_count = len(inputs) > 1 and is_terminal()
    with tqdm(inputs, desc="inputs", unit="input", dynamic_ncols=True, disable=not shows_count) as counted:
        return [job.do(one) for one in counted]


def progress_lines(label: str, done: int, total: int | None, unit: str, line: int) -> list[ProgressSink]:
    """Return what shows how an input goes on, below `line` other lines; nothing where it is no terminal."""
    return [ProgressSink(total, label, done, line, unit)] if is_terminal() else []


def is_terminal() -> bool:
    """Whether somebody may be looking at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()
