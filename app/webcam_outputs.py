"""What `app.webcam` writes, shows and reports of its sources."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.lane_plan import LanePlan
from app.sinks.audio import Audio
from app.sinks.grid import GridTile, GridWindow
from app.sinks.live_video_sink import LiveVideoSink
from app.sinks.progress import ProgressSink
from app.sinks.recording_plan import FileNames
from app.sinks.video_sink import VideoSink
from app.sinks.window import WindowSink, has_display
from app.sources.video import VideoSource
from app.stream.controls import ControlPanel
from app.stream.frames import Cover
from app.stream.parts import Sink, Source
from app.stream.reporter import Reporter
from app.stream.sound import HasSound
from app.stream.stats import StreamStats
from app.stream_errors import SinkError


@dataclass(eq=False)
class Feed:
    """An open source with its plan, and what belongs to it alone.

    Attributes:
        video: what records it; None of one that is not recorded.
        cover: what viewers see while nothing comes; None of a source that never waits.
    """

    plan: LanePlan
    source: Source
    panel: ControlPanel
    stats: StreamStats
    reporter: Reporter
    video: VideoSink | LiveVideoSink | None
    cover: Cover | None

    @property
    def is_steady(self) -> bool:
        """Whether the masks are kept from flickering: those of a live source, unless that is not wanted."""
        return self.source.is_live and self.plan.steady

    @property
    def saved(self) -> list[Path]:
        """The videos that were written."""
        if isinstance(self.video, LiveVideoSink):
            return self.video.files
        return [self.video.path] if self.video is not None else []

    @property
    def was_recorded(self) -> bool:
        """Whether nothing went wrong with the recording, if there is one."""
        return not (isinstance(self.video, LiveVideoSink) and self.video.problem)

    @property
    def sound_notes(self) -> list[str]:
        """Why sound of a file was left out, in one line each."""
        audio = self.video.audio if isinstance(self.video, VideoSink) else None
        return audio.left_out if audio is not None else []


def open_video(
    plan: LanePlan, source: Source, class_names: Sequence[str], uses_gpu: bool
) -> VideoSink | LiveVideoSink | None:
    """Open what records `source`, if the plan says so.

    Raises:
        SinkError: no file can be written there.
    """
    if plan.save is None:
        return None
    if not source.is_live:
        has_audio = isinstance(source, VideoSource) and os.path.isfile(plan.source)
        audio = Audio(Path(plan.source), stops_with_video=True) if has_audio else None
        path = FileNames(plan.save, makes_many=False).next()
        return VideoSink(path, frame_rate=source.frame_rate, audio=audio, uses_gpu=uses_gpu, plan=plan.recording)
    return LiveVideoSink(
        plan.save,
        plan.recording,
        class_names=class_names,
        frame_rate=source.frame_rate,
        sound=source.sound if isinstance(source, HasSound) else None,
        uses_gpu=uses_gpu,
        tell=lambda line: print(f"{plan.name}: {line}", file=sys.stderr, flush=True),
    )


def open_sinks(options: argparse.Namespace, feeds: Sequence[Feed]) -> list[list[Sink]]:
    """Open the sinks of each source: the video file, and the window, or a progress line where there is none."""
    sinks: list[list[Sink]] = [[feed.video] if feed.video is not None else [] for feed in feeds]
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
        if counted["displayed"] or counted["reason"]:
            print_outcome(f"{feed.plan.name}: " if len(feeds) > 1 else "", counted, feed.saved if is_saved else [])
        for note in feed.sound_notes:
            print(f"{feed.plan.name}: {note}", file=sys.stderr)


def print_outcome(prefix: str, counted: Mapping[str, Any], saved: Sequence[Path]) -> None:
    """Print what came of one source, each line behind `prefix`."""
    rate = counted["mean_fps"]
    print(f"{prefix}{counted['displayed']} frames in {counted['seconds']:.1f} s: {rate:.1f} frames per second")
    for cause, count in counted["dropped"].items():
        print(f"{prefix}dropped at {cause}: {count}")
    for name in ("reconnects", "stalls"):
        if counted[name]:
            print(f"{prefix}{name}: {counted[name]}")
    if len(saved) == 1:
        print(f"{prefix}saved {saved[0]}")
    elif saved:
        print(f"{prefix}saved {len(saved)} files, from {saved[0]} to {saved[-1]}")
