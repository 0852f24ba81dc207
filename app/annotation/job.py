"""The way of one input to its outputs, from where an earlier run stopped."""

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from app.annotation.area_outputs import write_area_outputs
from app.annotation.formats import FORMATS
from app.annotation.inputs import Input
from app.annotation.jsonl_file import Recording, source_header
from app.annotation.jsonl_lines import as_recorded
from app.annotation.jsonl_sink import AnnotationSink
from app.annotation.outcome import Outcome
from app.annotation.resumable_tracking import Recorded, rebuild
from app.annotation.settings import Settings
from app.drawing.renderer import Renderer
from app.interrupt import Interrupt
from app.processors.mask_hold import MaskHold
from app.processors.tracker import Tracker
from app.processors.tracking import Tracking
from app.processors.watching import Watching
from app.sinks.audio import Audio
from app.sinks.encoder import NVENC
from app.sinks.progress import ProgressSink
from app.sinks.video_sink import VideoSink
from app.sinks.writable import writing
from app.sources.file_source import FileSource, SelectedSource
from app.sources.video import VideoSource
from app.stream.areas import Area
from app.stream.controls import ControlPanel
from app.stream.effect import Effect
from app.stream.frames import Picture, Result
from app.stream.lane import Lane
from app.stream.parts import Processor, Sink
from app.stream.pipeline import Stream
from app.stream_errors import DiskError, SinkError, SourceError
from solov2.errors import SOLOv2Error
from solov2.predictor import Predictor

ShowProgress: TypeAlias = Callable[[str, int, int | None, str], list[ProgressSink]]

VIDEO_NAME = "annotated.mp4"
PARTIAL_VIDEO_NAME = "annotated.partial.mp4"


@dataclass(frozen=True, slots=True)
class WantedOutputs:
    """Which outputs are wanted beside the lines.

    Attributes:
        video: the annotated video.
        formats: other formats, by name.
        areas: zones and lines, whose events and counts are written, and which are drawn into the video.
        effects: what is done to the pictures of the video.
    """

    video: bool = False
    formats: tuple[str, ...] = ()
    areas: tuple[Area, ...] = ()
    effects: tuple[Effect, ...] = ()

    @property
    def hides(self) -> bool:
        """Whether an effect hides instances."""
        return any(effect.hides for effect in self.effects)


@dataclass(frozen=True, slots=True)
class Job:
    """What all inputs of a run have in common.

    Attributes:
        out: the folder that gets a folder for each input.
        settings, model_header: what the header of every file says.
        wanted: the outputs.
        predictor: finds what is in a frame.
        progress: makes what shows how one input goes on, from its label, how many are done, the total and the unit.
    """

    out: Path
    settings: Settings
    model_header: dict[str, Any]
    wanted: WantedOutputs
    predictor: Predictor
    progress: ShowProgress

    def check(self, one: Input) -> None:
        """Check that an earlier run's outputs can be completed; an input that cannot be read is not checked.

        Raises:
            SinkError: they were made from another input or with other options, or a link leads out of `out`.
        """
        check_inside(self.out, self.out / one.name)
        with suppress(SourceError):
            Recording(self.out / one.name).check(self.options_of(one))

    def do(self, one: Input) -> Outcome:
        """Make what is missing of the input's outputs.

        An input that cannot be read, or not to its end, is told in the outcome, and so is an output that cannot be made
        from it, or a bug of this program, whose traceback is printed: none of them keeps the other inputs waiting.

        Raises:
            DiskError: an output cannot be written.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; what was done is kept, and the same command resumes.
        """
        started = time.perf_counter()
        folder = self.out / one.name
        outcome = Outcome.read(folder, one.shown)
        try:
            if self.wanted.video:
                self._remove_video_of_other_effects(folder, outcome)
            self._read(one, folder, outcome)
            self._convert(folder, outcome)
            if self.wanted.areas:
                write_area_outputs(Recording(folder).whole, folder, self.wanted.areas)
        except DiskError:
            raise
        except SOLOv2Error as error:
            outcome.problem = str(error)
        except Exception as error:
            traceback.print_exc()
            outcome.problem = f"a bug of this program ({type(error).__name__}), whose traceback is printed"
        outcome.seconds = time.perf_counter() - started
        return outcome

    def _remove_video_of_other_effects(self, folder: Path, outcome: Outcome) -> None:
        """Remove a video that shows what has to be hidden now, or was drawn with any other effects."""
        effects = [str(effect) for effect in self.wanted.effects]
        if effects != outcome.effects:
            with writing(folder / VIDEO_NAME):
                (folder / VIDEO_NAME).unlink(missing_ok=True)
            outcome.effects = effects

    def _read(self, one: Input, folder: Path, outcome: Outcome) -> None:
        """Record the frames that are not recorded yet, and draw the video if it is wanted and not there."""
        recording = Recording(folder)
        needs_video = self.wanted.video and not (folder / VIDEO_NAME).exists()
        if recording.is_whole() and not needs_video:
            return
        outcome.is_new = True
        with closing(one.open(self._uses_gpu)) as source, Interrupt() as interrupt:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            audio = self._audio(one)
            video = [self._video_sink(source, folder, audio)] if needs_video else []
            self._record(one, source, _Outputs(recording, video, outcome), interrupt.should_stop)
        if interrupt.was_interrupted:
            raise KeyboardInterrupt
        outcome.notes = [*audio.left_out] if video and audio else []
        if self._uses_gpu:
            outcome.notes += hardware_notes(source, video)
        outcome.save(folder)  # first, as a whole file is not read again, and its damage would be forgotten
        if not recording.is_whole():
            recording.finish()
        if needs_video and outcome.frames:
            with writing(folder / VIDEO_NAME):
                (folder / PARTIAL_VIDEO_NAME).replace(folder / VIDEO_NAME)

    def _record(self, one: Input, source: FileSource, outputs: "_Outputs", should_stop: Callable[[], bool]) -> None:
        """Let the source run into the lines and the video; where there is a video, what is recorded is drawn first.

        What effects hide is not recorded: with these, the model sees all frames of a video again.
        """
        recording, video, outcome = outputs.recording, outputs.video, outputs.outcome
        done = recording.rewind(self.settings.batch)
        selected = SelectedSource(source, self.settings.selection(-1 if video else done.last_index))
        recall = Recorded(islice(recording.lines(), done.frames)) if video and not self.wanted.hides else None
        tracker = Tracker()
        if self.settings.track and not video:
            rebuild(tracker, recording.lines(), source.frame_hw, source.time_base)
        expected = self.settings.expected_frames(source.frame_count, source.frame_rate)
        sinks: list[Sink] = [*video, *self.progress(one.name, 0 if video else done.frames, expected, "frame")]
        lines = None
        if not recording.is_whole():
            header = self.header_of(one, source_header(source))
            leave_out = done.frames if video else 0
            lines = AnnotationSink(recording.partial, header, file_name=one.file_name, leave_out=leave_out)
            sinks.insert(0, lines)
        try:
            Stream([self._lane(selected, sinks, tracker, recall)], self.predictor, should_stop).run()
            outcome.problem = None
        except SourceError as error:
            outcome.problem = str(error)
        finally:
            outcome.new_frames, new_instances = (lines.frames, lines.instances) if lines else (0, 0)
            outcome.frames, outcome.instances = done.frames + outcome.new_frames, done.instances + new_instances
            if outcome.new_frames:
                outcome.formats = {}  # of fewer frames

    def _lane(self, source: SelectedSource, sinks: Sequence[Sink], tracker: Tracker, recall: Recorded | None) -> Lane:
        """Return the lane of an input; the video needs all frames, and gets those that are recorded from the lines."""
        panel = ControlPanel(self.settings.controls(self.wanted.effects))
        processors: list[Processor] = [as_recorded, MaskHold(), Tracking(panel, tracker)]
        if self.wanted.areas:
            processors.append(Watching(self.wanted.areas, self.predictor.class_names, panel=panel))
        return Lane(source, sinks, processors, draw=self._draw, panel=panel, recall=recall)

    def _draw(self, result: Result) -> Picture:
        controls = self.settings.controls(self.wanted.effects)
        return Renderer(self.model_header["classes"]).draw(result, controls)

    def _audio(self, one: Input) -> Audio | None:
        if one.pictures or one.is_demo:
            return None
        start, end = self.settings.start, self.settings.end
        return Audio(one.path, -math.inf if start is None else start, math.inf if end is None else end)

    def _video_sink(self, source: FileSource, folder: Path, audio: Audio | None) -> VideoSink:
        """A clip that starts in the middle of its source starts at 0."""
        rate = source.frame_rate / self.settings.stride if source.frame_rate else None
        is_cut = self.settings.start is not None
        return VideoSink(
            folder / PARTIAL_VIDEO_NAME,
            frame_rate=rate,
            start_at_zero=is_cut,
            audio=audio,
            uses_gpu=self._uses_gpu,
        )

    @property
    def _uses_gpu(self) -> bool:
        return bool(self.model_header["device"] == "cuda")

    def header_of(self, one: Input, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return the header of the lines of an input, of whose source `source_header` says this."""
        return {"source": one.title, **source, **self.options_of(one)}

    def options_of(self, one: Input) -> dict[str, Any]:
        """Return what must be unchanged for a file to be resumed."""
        return {**self.model_header, **self.settings.as_header(), "fingerprint": one.fingerprint()}

    def _convert(self, folder: Path, outcome: Outcome) -> None:
        """Make the formats that are wanted and not there yet."""
        there = {name for name, made in outcome.formats.items() if (folder / made).exists()}
        missing = [name for name in self.wanted.formats if name not in there]
        with ExitStack() as lines:
            shown = [lines.enter_context(closing(line)) for line in self._format_lines(folder.name, len(missing))]
            for name in missing:
                outcome.is_new = True
                outcome.formats[name] = FORMATS[name](Recording(folder).whole, folder).name
                outcome.save(folder)
                for line in shown:
                    line.count()
        outcome.is_done = True

    def _format_lines(self, name: str, total: int) -> list[ProgressSink]:
        return self.progress(f"{name}: formats", 0, total, "format") if total else []


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What one input is turned into: its recording, its video if that is wanted, and what there is to tell."""

    recording: Recording
    video: Sequence[VideoSink]
    outcome: Outcome


def check_inside(out: Path, folder: Path) -> None:
    """Check that `folder`, and whatever lies directly in it, is inside of `out` when all links are followed.

    Raises:
        SinkError: it is not.
    """
    inside = out.resolve()
    for path in (folder, *(folder.iterdir() if folder.is_dir() else ())):
        target = path.resolve()
        if inside not in target.parents:
            raise SinkError(f"{path} leads to {target}, which is not in --out {out}: remove that link")


def hardware_notes(source: FileSource, video: Sequence[VideoSink]) -> list[str]:
    """Say what decoded the source, if it is a video, and what encoded the annotated one, if there is one."""
    notes = []
    if isinstance(source, VideoSource):
        notes.append(f"decoded by {'NVDEC' if source.is_on_gpu else 'the CPU'}")
    return notes + [f"encoded by {'NVENC' if sink.encoder is NVENC else 'the CPU'}" for sink in video]
