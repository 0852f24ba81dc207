"""`python -m app.webcam`: segment a camera, a stream, a video or pictures, in a window, into a file, or both.

Here the options are read and checked, without torch, so that help and mistakes are answered at once. The work is in
`app.webcam_run`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path

from app.events.event_targets import STANDARD_OUTPUT, check_target
from app.lane_plan import LanePlan, PlanError, check_sources, event_targets_of, plan_sources, separate_files
from app.options import (
    add_model_options,
    areas_of,
    check_model_options,
    count,
    effect,
    four_letters,
    names,
    retry,
    score,
    seconds,
    size,
)
from app.sinks.recording_plan import TIME, RecordingPlan
from app.sinks.writable import check_video_path, check_writable
from app.sources import may_be_live
from app.sources.backoff import MAX_SECONDS, Backoff
from app.stream.controls import Controls
from app.stream.effect import USAGE
from app.stream_errors import SinkError
from app.webcam_live_outputs import KNOWN, check_live_outputs
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
    add(
        "--source",
        action="append",
        dest="sources",
        help="camera number (0), file, folder, 'clips/*.mp4', address, 'screen:' or 'demo'; again for another",
    )
    add("--config", type=Path, metavar="CAMERAS.yaml", help="take the sources from a file; see the README")
    add_model_options(parser)
    add(
        "--save", type=Path, metavar="FILE.mp4", help="write the video there, .mp4 or .mkv, such as {source}-{time}.mp4"
    )
    add("--headless", action="store_true", help="open no window")
    add("--score", type=score, default=Controls().score_threshold, help="least score to show, 0 to 1 (%(default)s)")
    add("--classes", type=names, metavar="NAME,NAME", help="show these classes only")
    add("--track", action="store_true", help="give each instance an id and a colour that last")
    add("--effect", action="append", default=[], type=effect, metavar="EFFECT", help=f"{USAGE}; again for another")
    add("--output", action="append", default=[], metavar="ADDRESS", help=f"show it live at {KNOWN}; again for another")
    add("--pipe", action="store_true", help="write raw pictures to standard output")
    add("--zones", type=Path, metavar="ZONES.yaml", help="watch the zones and lines in that file; tracks, too")
    add("--zones-csv", type=Path, metavar="FILE.csv", help="write what was counted in them there, once a second")
    add(
        "--events",
        action="append",
        default=[],
        metavar="TARGET",
        help="send what happens as JSON there: a file, -, mqtt://HOST/TOPIC or https://...; again for another; tracks",
    )
    add("--event-masks", action="store_true", help="put the mask into each event, as a run-length code")
    add("--no-steady", action="store_true", help="of a live source, show each frame's masks as they were found")
    add(
        "--all-names",
        action="store_true",
        help="keep what covers the same pixels as something better under another name",
    )
    add("--max-frames", type=count, metavar="N", help="stop after N frames")
    add("--stats-json", type=Path, metavar="FILE", help="write counters there at the end; in a .jsonl, every second")
    add("--no-readout", action="store_true", help="draw no rates into the picture")
    add("--list-cameras", action="store_true", help="list the cameras that can be opened, and stop")
    add_live_options(parser)
    add_recording_options(parser)
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of cameras and streams."""
    group = parser.add_argument_group("cameras and streams")
    add = group.add_argument
    add("--retry", type=retry, default=Backoff(), metavar="N", help="open a lost source again: N, never or (forever)")
    add("--retry-seconds", type=seconds, default=MAX_SECONDS, metavar="S", help="longest wait before it (%(default)g)")
    add("--max-age-ms", type=count, metavar="MS", help="of a live source, leave out frames older than that")
    add("--rtsp-transport", choices=("tcp", "udp"), default="tcp", help="how RTSP sends its pictures (tcp)")
    add("--camera-size", type=size, metavar="WxH", help="ask a camera for that size, such as 1280x720")
    add("--camera-fps", type=seconds, metavar="FPS", help="ask a camera for that rate")
    add("--camera-format", type=four_letters, metavar="MJPG", help="ask a camera for that format")
    add("--loop", action="store_true", help="begin a file again when it ends")


def add_recording_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of `--save`."""
    group = parser.add_argument_group("what --save writes")
    add = group.add_argument
    add("--save-readout", action="store_true", help="the read-out, too")
    add("--save-clean", action="store_true", help="the source's pictures, without masks, tags and read-out")
    add("--segment", type=seconds, metavar="MINUTES", help="of a live source, a new file after so long")
    add("--record-when", type=names, metavar="NAME,NAME", help="of a live source, only while one of these is seen")
    add("--pre-roll", type=seconds, metavar="SECONDS", help="with --record-when, so much before it, too")


def webcam(options: argparse.Namespace) -> int:
    """Check the options and do what they say; return the exit code."""
    plans: list[LanePlan] = []
    if not options.list_cameras:
        check_model_options(options)
        plans = make_plans(options)
        check_sources(plans)
        for plan in plans:
            check_outputs(plan, options.stats_json)
        targets = event_targets_of(plans)
        for target in targets:
            check_target(target)
        check_live_outputs(options, len(plans))
        if options.pipe and STANDARD_OUTPUT in targets:
            raise PlanError("--pipe and events to - both want standard output: leave one of them out")
        if options.zones_csv is not None and not any(plan.areas for plan in plans):
            raise PlanError("--zones-csv needs zones or lines: add --zones, or --config with some")
        if options.zones_csv is not None:
            check_writable(options.zones_csv)
    with importing():
        from app.webcam_run import print_cameras, segment_live
    if options.list_cameras:
        return print_cameras()
    with locked(*(plan.save for plan in plans if plan.save and TIME not in plan.save.name)), ExitStack() as stack:
        if options.pipe or STANDARD_OUTPUT in event_targets_of(plans):  # what is told goes to standard error
            stack.enter_context(redirect_stdout(sys.stderr))
        return segment_live(options, plans)


def make_plans(options: argparse.Namespace) -> list[LanePlan]:
    """Return what each source is asked to do.

    Raises:
        PlanError: the options contradict each other, or the file of cameras is wrong.
    """
    recording = RecordingPlan(
        segment_seconds=None if options.segment is None else 60 * options.segment,
        record_when=options.record_when,
        pre_roll_seconds=options.pre_roll or 0.0,
        is_clean=options.save_clean,
        with_readout=options.save_readout,
    )
    common = LanePlan("", "", options.score, options.classes, options.track, options.save, recording)
    common = replace(common, areas=areas_of(options.zones), steady=not options.no_steady, events=tuple(options.events))
    if options.config is not None and options.sources:
        raise PlanError("give either --source or --config, got both")
    if options.config is not None:
        from app.cameras_file import read_plans

        plans = read_plans(options.config, common)
    else:
        plans = plan_sources(options.sources or ["0"], common)
    separate_files(plans)
    if options.save_clean and any(one.hides for one in options.effect):
        raise PlanError("--save-clean would record what --effect hides: leave one of them out")
    for plan in plans:
        check_recording(plan)
    return plans


def check_recording(plan: LanePlan) -> None:
    """Check that what `--save` is asked to do fits together, and fits the source; raise PlanError."""
    recording = plan.recording
    if recording.is_clean and recording.with_readout:
        raise PlanError("give either --save-clean or --save-readout, got both")
    if recording.pre_roll_seconds and recording.record_when is None:
        raise PlanError("--pre-roll needs --record-when: without it everything is recorded")
    if recording.makes_many and plan.save is None:
        raise PlanError("--segment and --record-when need --save: name the file to record into")
    if recording.makes_many and not may_be_live(plan.source):
        raise PlanError(f"--segment and --record-when are for live sources, got {plan.source}")
    missing = (recording.record_when or frozenset()) - (plan.classes or recording.record_when or frozenset())
    if missing:
        raise PlanError(f"--record-when {min(missing)} needs {min(missing)} among --classes")


def check_outputs(plan: LanePlan, stats_json: Path | None) -> None:
    """Find out before the run whether every output can be written.

    Raises:
        SinkError: one of them cannot, or is the source.
    """
    if plan.save is not None:
        check_video_path(plan.save)
    if stats_json is not None:
        check_writable(stats_json)
    if plan.save and stats_json and os.path.realpath(plan.save) == os.path.realpath(stats_json):
        raise SinkError(f"--save and --stats-json both name {plan.save}: name two files")
    for path in filter(None, (plan.save, stats_json)):
        if path.exists() and os.path.exists(plan.source) and path.samefile(plan.source):
            raise SinkError(f"{path} is the source itself: choose another name for the output")


if __name__ == "__main__":
    sys.exit(main())
