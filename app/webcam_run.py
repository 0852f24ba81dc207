"""What `app.webcam` does once its options are read: load the model, open the parts, run them, report."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from app.drawing.effects import check_effects
from app.drawing.renderer import Renderer
from app.drawing.waiting import WaitingCard
from app.events.open_deliveries import open_deliveries
from app.interrupt import Interrupt, interrupt_immediately
from app.lane_plan import LanePlan, event_targets_of
from app.options import check_classes
from app.processors.steadying import SCORE_SLACK
from app.run_report import JSON_LINES, RunReport, status_printer
from app.sinks.grid import GridTile
from app.sinks.jpeg_sink import JpegSink
from app.sinks.live_output import LiveOutput
from app.sinks.window import WindowSink
from app.sources import may_be_live
from app.sources.camera import list_cameras
from app.sources.failed import FailedSource
from app.sources.lasting import find_lasting
from app.sources.paced import PacedSource
from app.sources.reconnecting import ReconnectingSource
from app.sources.repeated import RepeatedSource
from app.sources.source_settings import SourceSettings
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Picture, Result
from app.stream.lane import FRAMES_WAITING, FRAMES_WAITING_WATCHED, Lane
from app.stream.parts import Sink, Source
from app.stream.pipeline import Stream
from app.stream.reporter import Reporter
from app.stream.stats import StreamStats
from app.stream_errors import SinkError, SourceError
from app.webcam_events import add_area_sinks, make_processors
from app.webcam_live_outputs import open_live_outputs
from app.webcam_outputs import Feed, open_sinks, open_video, report
from app.zones_file import AreaError, check_areas
from solov2.cli import EXIT_INTERRUPTED, EXIT_USER_ERROR
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.open_predictor import load_runnable, open_predictor


def segment_live(options: argparse.Namespace, plans: Sequence[LanePlan]) -> int:
    """Do what the checked options of `app.webcam` say with each source; return the exit code."""
    device = find_device(options.device)
    model = load_runnable(options.model, device, options.dtype, options.input_size)
    check_effects(options.effect, model.class_names)
    for plan in plans:
        check_classes(plan.classes, model.class_names)
        check_classes(plan.recording.record_when, model.class_names)
        for area in plan.areas:
            check_classes(area.classes, model.class_names)
    may_wait = not any(may_be_live(plan.source) for plan in plans)
    predictor = open_predictor(model, options.engine, "throughput" if may_wait else "latency")
    if not may_wait:  # the first frame of a file waits for the libraries itself
        warm_up(predictor)
    with ExitStack() as stack:
        with interrupt_immediately():
            opener = FeedOpener(options, model.class_names, device.type == "cuda", len(plans) > 1)
            feeds = opener.open_all(plans)
        for feed in feeds:
            stack.callback(feed.source.close)
        interrupt = stack.enter_context(Interrupt())
        is_live = any(feed.source.is_live for feed in feeds)
        renderer = Renderer(model.class_names)
        deliveries = stack.enter_context(open_deliveries(event_targets_of(plans), is_live))
        all_sinks = open_sinks(options, feeds)
        add_area_sinks(all_sinks, options, feeds)
        for feed, sinks in zip(feeds, all_sinks, strict=True):
            sinks += open_live_outputs(options, feed)
        lanes = []
        for feed, sinks in zip(feeds, all_sinks, strict=True):
            processors = make_processors(feed, options, model.class_names, deliveries)
            lanes.append(replace(make_lane(feed, sinks, options, renderer), processors=processors))
        json_lines = options.stats_json if options.stats_json and options.stats_json.suffix == JSON_LINES else None
        prints = is_live and sys.stderr is not None and sys.stderr.isatty()
        try:
            with RunReport([feed.reporter for feed in feeds], json_lines, prints):
                Stream(lanes, predictor, interrupt.should_stop).run()
        finally:
            is_saved = not isinstance(sys.exception(), SinkError)
            report(feeds, is_saved, None if json_lines else options.stats_json)
    if not all(feed.was_recorded for feed in feeds):
        return EXIT_USER_ERROR
    return EXIT_INTERRUPTED if interrupt.was_interrupted else 0


@dataclass(frozen=True)
class FeedOpener:
    """Opens sources as the options of a run say.

    Attributes:
        options: of `app.webcam`.
        class_names: the name of each label.
        uses_gpu: videos are decoded and encoded on the GPU where that works.
        has_several: one that cannot be opened holds up no other, and what is printed about a source names it.
    """

    options: argparse.Namespace
    class_names: Sequence[str]
    uses_gpu: bool
    has_several: bool

    def open_all(self, plans: Sequence[LanePlan]) -> list[Feed]:
        """Open all sources; see `open`. What is open is closed again where that fails.

        Raises:
            SourceError: not one of them can be opened.
            AreaError, SinkError: see `open`.
        """
        with ExitStack() as opened:
            feeds = []
            for plan in plans:
                feeds.append(self.open(plan))
                opened.callback(feeds[-1].source.close)
            failed = [feed.source for feed in feeds if isinstance(feed.source, FailedSource)]
            if len(failed) == len(feeds):
                raise failed[0].error
            opened.pop_all()
        return feeds

    def open(self, plan: LanePlan) -> Feed:
        """Open the source of a plan, and what records it.

        Raises:
            SourceError: the only source cannot be opened.
            AreaError: a zone lies outside of its picture.
            SinkError: no file can be written there.
        """
        source = self._open_or_fail(plan)
        effects = tuple(self.options.effect)
        controls = Controls(
            plan.score,
            plan.classes,
            show_masks=not effects,
            show_labels=not effects,
            show_readout=not self.options.no_readout,
            track=plan.track,
            effects=effects,
        )
        stats = StreamStats()
        watched = source if isinstance(source, ReconnectingSource | FailedSource) else None
        if watched is None or watched.status.phase == "live":  # else nobody knows its size yet
            try:
                check_areas(plan.areas, source.frame_hw, plan.name)
            except AreaError:
                source.close()
                raise
        return Feed(
            plan,
            source,
            ControlPanel(controls),
            stats,
            Reporter(plan.name, stats, watched),
            None if isinstance(source, FailedSource) else open_video(plan, source, self.class_names, self.uses_gpu),
            WaitingCard(plan.name, watched) if watched is not None else None,
        )

    def _open_or_fail(self, plan: LanePlan) -> Source:
        """Open a source; one of several that cannot be opened is told, and takes its place without a frame."""
        try:
            return self._open_source(plan)
        except SourceError as error:
            if not self.has_several:
                raise
            print(f"{plan.name}: {error}; the other sources go on", file=sys.stderr, flush=True)
            return FailedSource(plan.name, error)

    def _open_source(self, plan: LanePlan) -> Source:
        options = self.options
        settings = SourceSettings(
            self.uses_gpu,
            options.camera_size,
            options.camera_fps,
            options.camera_format,
            options.rtsp_transport,
            with_sound=plan.save is not None,
        )
        backoff = replace(options.retry, max_seconds=options.retry_seconds)
        tell = status_printer(plan.name if self.has_several else None)
        open_source = find_lasting(plan.source, settings, backoff, tell, waits_for_devices=self.has_several)
        source = open_source()
        if options.loop and not source.is_live:
            source.close()
            source = RepeatedSource(open_source)
        return source


def make_lane(feed: Feed, sinks: Sequence[Sink], options: argparse.Namespace, renderer: Renderer) -> Lane:
    """Return the lane of an open source; a file that somebody only watches plays at its own speed."""

    def draw(result: Result) -> Picture:
        controls = feed.panel.current
        return renderer.draw_plain(result, controls, feed.reporter.snapshot() if controls.show_readout else None)

    def add_readout(picture: Picture) -> Picture:
        return renderer.add_readout(picture, feed.panel.current, feed.reporter.snapshot())

    is_watched = any(isinstance(sink, WindowSink | GridTile | LiveOutput | JpegSink) for sink in sinks)
    is_paced = is_watched and not (feed.source.is_live or feed.plan.save)
    return Lane(
        PacedSource(feed.source) if is_paced else feed.source,
        sinks,
        draw=draw,
        add_readout=add_readout,
        panel=feed.panel,
        stats=feed.stats,
        max_age_seconds=None if options.max_age_ms is None else options.max_age_ms / 1000,
        score_slack=SCORE_SLACK if feed.is_steady else 0.0,
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
