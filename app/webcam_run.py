"""What `app.webcam` does once its options are read: load the model, open the parts, run them, report."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.drawing.renderer import Renderer
from app.drawing.waiting import WaitingCard
from app.interrupt import Interrupt, interrupt_immediately
from app.lane_plan import LanePlan
from app.options import check_classes
from app.processors.tracking import Tracking
from app.run_report import JSON_LINES, RunReport, status_printer
from app.sinks.grid import GridTile, GridWindow
from app.sinks.progress import ProgressSink
from app.sinks.video_sink import VideoSink
from app.sinks.window import WindowSink, has_display
from app.sources import may_be_live
from app.sources.camera import list_cameras
from app.sources.lasting import find_lasting
from app.sources.paced import PacedSource
from app.sources.reconnecting import ReconnectingSource
from app.sources.repeated import RepeatedSource
from app.sources.source_settings import SourceSettings
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Cover, Picture, Result
from app.stream.lane import FRAMES_WAITING, FRAMES_WAITING_WATCHED, Lane
from app.stream.parts import Sink, Source
from app.stream.pipeline import Stream
from app.stream.reporter import Reporter
from app.stream.stats import StreamStats
from app.stream_errors import SinkError
from solov2 import load_model
from solov2.cli import EXIT_INTERRUPTED
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.torch_predictor import TorchPredictor


@dataclass(eq=False)
class Feed:
    """An open source with its plan, and what belongs to it alone.

    Attributes:
        cover: what viewers see while nothing comes; None of a source that never waits.
    """

    plan: LanePlan
    source: Source
    panel: ControlPanel
    stats: StreamStats
    reporter: Reporter
    cover: Cover | None


def segment_live(options: argparse.Namespace, plans: Sequence[LanePlan]) -> int:
    """Do what the checked options of `app.webcam` say with each source; return the exit code."""
    device = find_device(options.device)
    model = load_model(options.model, device=device, dtype=options.dtype)
    for plan in plans:
        check_classes(plan.classes, model.class_names)
    if any(may_be_live(plan.source) for plan in plans):  # the first frame of a file waits for the libraries itself
        warm_up(TorchPredictor(model))
    with ExitStack() as stack:
        with interrupt_immediately():
            feeds = [open_feed(plan, options, device.type == "cuda", len(plans) > 1) for plan in plans]
        for feed in feeds:
            stack.callback(feed.source.close)
        interrupt = stack.enter_context(Interrupt())
        is_live = any(feed.source.is_live for feed in feeds)
        renderer = Renderer(model.class_names)
        lanes = [
            make_lane(feed, sinks, options, renderer)
            for feed, sinks in zip(feeds, open_sinks(options, feeds), strict=True)
        ]
        predictor = TorchPredictor(model, "latency" if is_live else "throughput")
        json_lines = options.stats_json if options.stats_json and options.stats_json.suffix == JSON_LINES else None
        prints = is_live and sys.stderr is not None and sys.stderr.isatty()
        try:
            with RunReport([feed.reporter for feed in feeds], json_lines, prints):
                Stream(lanes, predictor, interrupt.should_stop).run()
        finally:
            is_saved = not isinstance(sys.exception(), SinkError)
            report(feeds, is_saved, None if json_lines else options.stats_json)
    return EXIT_INTERRUPTED if interrupt.was_interrupted else 0


def open_feed(plan: LanePlan, options: argparse.Namespace, uses_gpu: bool, is_one_of_many: bool) -> Feed:
    """Open the source of a plan.

    Raises:
        SourceError: it cannot be opened.
    """
    settings = SourceSettings(
        uses_gpu, options.camera_size, options.camera_fps, options.camera_format, options.rtsp_transport
    )
    backoff = replace(options.retry, max_seconds=options.retry_seconds)
    tell = status_printer(f"{plan.name}: " if is_one_of_many else "")
    open_source = find_lasting(plan.source, settings, backoff, tell)
    source = open_source()
    if options.loop and not source.is_live:
        source.close()
        source = RepeatedSource(open_source)
    controls = Controls(plan.score, plan.classes, show_readout=not options.no_readout, track=plan.track)
    stats = StreamStats()
    lasting = source if isinstance(source, ReconnectingSource) else None
    return Feed(
        plan,
        source,
        ControlPanel(controls),
        stats,
        Reporter(plan.name, stats, lasting),
        WaitingCard(plan.name, lasting) if lasting is not None else None,
    )


def make_lane(feed: Feed, sinks: Sequence[Sink], options: argparse.Namespace, renderer: Renderer) -> Lane:
    """Return the lane of an open source; a file that somebody only watches plays at its own speed."""

    def draw(result: Result) -> Picture:
        return renderer.draw(result, feed.panel.current, feed.stats.snapshot())

    is_watched = any(isinstance(sink, WindowSink | GridTile) for sink in sinks)
    is_paced = is_watched and not (feed.source.is_live or feed.plan.save)
    return Lane(
        PacedSource(feed.source) if is_paced else feed.source,
        sinks,
        [Tracking(feed.panel)],
        draw=draw,
        panel=feed.panel,
        stats=feed.stats,
        max_age_seconds=None if options.max_age_ms is None else options.max_age_ms / 1000,
        max_frames=options.max_frames,
        frames_waiting=FRAMES_WAITING_WATCHED if is_paced else FRAMES_WAITING,
    )


def print_cameras() -> int:
    """Print the cameras that can be opened; return the exit code."""
    cameras = list_cameras()
    for camera in cameras:
        height, width = camera.frame_hw
        print(f"{camera.number}  {camera.name}  {width}x{height}")
    if not cameras:
        print("no camera found")
    return 0


def open_sinks(options: argparse.Namespace, feeds: Sequence[Feed]) -> list[list[Sink]]:
    """Open the sinks of each source: the video file, and the window, or a progress line where there is none."""
    sinks: list[list[Sink]] = [
        [VideoSink(feed.plan.save, frame_rate=feed.source.frame_rate, start_at_zero=feed.source.is_live)]
        if feed.plan.save is not None
        else []
        for feed in feeds
    ]
    if not options.headless and has_display():
        for own, viewer in zip(sinks, open_viewers(feeds), strict=True):
            own.append(viewer)
        return sinks
    if not options.headless:
        print("no display found: going on without a window", file=sys.stderr)
    for own, feed in zip(sinks, feeds, strict=True):
        if len(feeds) == 1 and not feed.source.is_live and sys.stderr is not None and sys.stderr.isatty():
            own.append(ProgressSink(min(filter(None, (feed.source.frame_count, options.max_frames)), default=None)))
    return sinks


def open_viewers(feeds: Sequence[Feed]) -> list[Sink]:
    """Open a window for one source, or a grid for several."""
    if len(feeds) == 1:
        return [WindowSink(feeds[0].panel, cover=feeds[0].cover)]
    grid = GridWindow([feed.panel for feed in feeds])
    return [GridTile(grid, index, feed.cover) for index, feed in enumerate(feeds)]


def report(feeds: Sequence[Feed], is_saved: bool, stats_json: Path | None) -> None:
    """Say what was done, in `stats_json` and on standard output.

    Raises:
        SinkError: `stats_json` cannot be written.
    """
    values = [feed.reporter.values() for feed in feeds]
    if stats_json is not None:
        try:
            content = values[0] if len(values) == 1 else {"sources": values}
            stats_json.write_text(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise SinkError(f"could not write {stats_json}: {error.strerror}") from error
    for feed, counted in zip(feeds, values, strict=True):
        if counted["displayed"]:
            print_outcome(
                f"{feed.plan.name}: " if len(feeds) > 1 else "", counted, feed.plan.save if is_saved else None
            )


def print_outcome(prefix: str, counted: Mapping[str, Any], saved: Path | None) -> None:
    """Print what came of one source, each line behind `prefix`."""
    rate = counted["mean_fps"]
    print(f"{prefix}{counted['displayed']} frames in {counted['seconds']:.1f} s: {rate:.1f} frames per second")
    for cause, count in counted["dropped"].items():
        print(f"{prefix}dropped at {cause}: {count}")
    if counted["reconnects"]:
        print(f"{prefix}reconnected: {counted['reconnects']}")
    if saved is not None:
        print(f"{prefix}saved {saved}")
