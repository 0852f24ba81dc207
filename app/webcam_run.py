"""What `app.webcam` does once its options are read: load the model, open the parts, run them, report."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path

from app.drawing.renderer import Renderer
from app.interrupt import Interrupt, interrupt_immediately
from app.options import check_classes
from app.processors.tracking import Tracking
from app.sinks.progress import ProgressSink
from app.sinks.video_sink import VideoSink
from app.sinks.window import WindowSink, has_display
from app.sources import find_source
from app.sources.camera import list_cameras
from app.sources.paced import PacedSource
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Picture, Result
from app.stream.lane import FRAMES_WAITING, FRAMES_WAITING_WATCHED, Lane
from app.stream.parts import Sink, Source
from app.stream.pipeline import Stream
from app.stream.stats import StatsSnapshot, StreamStats
from app.stream_errors import SinkError
from solov2 import load_model
from solov2.cli import EXIT_INTERRUPTED
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.torch_predictor import TorchPredictor


def segment_live(options: argparse.Namespace) -> int:
    """Do what the checked options of `app.webcam` say; return the exit code."""
    device = find_device(options.device)
    open_source = find_source(options.source, uses_gpu=device.type == "cuda")
    model = load_model(options.model, device=device, dtype=options.dtype)
    classes = check_classes(options.classes, model.class_names)
    panel = ControlPanel(Controls(options.score, classes, show_readout=not options.no_readout, track=options.track))
    stats, renderer = StreamStats(), Renderer(model.class_names)
    warm_up(TorchPredictor(model))

    def draw(result: Result) -> Picture:
        return renderer.draw(result, panel.current, stats.snapshot())

    with interrupt_immediately():
        source = open_source()
    with closing(source), Interrupt() as interrupt:
        sinks = open_sinks(options, source, panel)
        is_watched = any(isinstance(sink, WindowSink) for sink in sinks) and not (source.is_live or options.save)
        lane = Lane(
            PacedSource(source) if is_watched else source,
            sinks,
            [Tracking(panel)],
            draw=draw,
            panel=panel,
            stats=stats,
            max_frames=options.max_frames,
            frames_waiting=FRAMES_WAITING_WATCHED if is_watched else FRAMES_WAITING,
        )
        predictor = TorchPredictor(model, "latency" if source.is_live else "throughput")
        try:
            Stream([lane], predictor, interrupt.should_stop).run()
        finally:
            is_saved = options.save is not None and not isinstance(sys.exception(), SinkError)
            report(stats.snapshot(), options.save if is_saved else None, options.stats_json)
    return EXIT_INTERRUPTED if interrupt.was_interrupted else 0


def print_cameras() -> int:
    """Print the cameras that can be opened; return the exit code."""
    cameras = list_cameras()
    for camera in cameras:
        height, width = camera.frame_hw
        print(f"{camera.number}  {camera.name}  {width}x{height}")
    if not cameras:
        print("no camera found")
    return 0


def open_sinks(options: argparse.Namespace, source: Source, panel: ControlPanel) -> list[Sink]:
    """Open the video file and the window, or a progress line where there is none."""
    sinks: list[Sink] = []
    if options.save is not None:
        sinks.append(VideoSink(options.save, frame_rate=source.frame_rate, start_at_zero=source.is_live))
    if not options.headless and has_display():
        sinks.append(WindowSink(panel))
        return sinks
    if not options.headless:
        print("no display found: going on without a window", file=sys.stderr)
    if not source.is_live and sys.stderr is not None and sys.stderr.isatty():
        sinks.append(ProgressSink(min(filter(None, (source.frame_count, options.max_frames)), default=None)))
    return sinks


def report(snapshot: StatsSnapshot, saved: Path | None, stats_json: Path | None) -> None:
    """Say what was done, in `stats_json` and on standard output.

    Raises:
        SinkError: `stats_json` cannot be written.
    """
    if stats_json is not None:
        try:
            stats_json.write_text(json.dumps(snapshot.as_dict(), indent=2) + "\n")
        except OSError as error:
            raise SinkError(f"could not write {stats_json}: {error.strerror}") from error
    if snapshot.displayed:
        print(f"{snapshot.displayed} frames in {snapshot.seconds:.1f} s: {snapshot.mean_fps:.1f} frames per second")
        for cause, count in snapshot.dropped.items():
            print(f"dropped at {cause}: {count}")
        if saved is not None:
            print(f"saved {saved}")
