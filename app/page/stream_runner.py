"""The one stream of a page, for everybody who looks at it: started, controlled and stopped from any thread."""

import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2

from app.drawing.renderer import Renderer
from app.drawing.waiting import WaitingCard
from app.page.model_cache import Models
from app.processors.steadying import SCORE_SLACK, Steadying
from app.processors.tracking import Tracking
from app.sinks.jpeg_sink import JpegSink, LatestJpeg
from app.sinks.live_recording import RecordingSink
from app.sources.paced import PacedSource
from app.sources.reconnecting import Connection, ReconnectingSource
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Cover, Picture, Result
from app.stream.lane import FRAMES_WAITING_WATCHED, Lane
from app.stream.parts import Source
from app.stream.pipeline import Stream
from app.stream.reporter import Reporter
from app.stream.stats import StreamStats
from app.stream_errors import SinkError
from solov2 import SOLOv2Error
from solov2.runtime.torch_predictor import TorchPredictor

CONTROLS = Controls(show_readout=False)  # the page shows the rates beside the picture
MAX_RECORDED_BYTES = 2 << 30
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What to stream: how the source is called and opened, and which model sees it."""

    name: str
    open_source: Callable[[], Source]
    model: str
    device: str = "auto"


@dataclass(eq=False)
class Run:
    """One run of the pipeline, from its start to its end, in a thread of its own.

    Attributes:
        choice: what is streamed.
        state: "starting", "running", "ended" or "failed".
        message: what it is doing, or why it has failed; for people.
        source, sink, recording: the parts, once they are there.
    """

    choice: Choice
    state: str = "starting"
    message: str = "Starting"
    stats: StreamStats = field(default_factory=StreamStats)
    source: Source | None = None
    sink: JpegSink | None = None
    recording: RecordingSink | None = None
    class_names: tuple[str, ...] = ()
    stopped: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def stop(self) -> None:
        """Let it end soon."""
        self.stopped.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self.thread is not None:
            self.thread.join(timeout)


class Engine:
    """Runs one stream at a time on a thread of its own; a new source or model is a new run of the pipeline.

    Attributes:
        panel: the controls of the stream, now and later; the page's widgets write it.
        board: where its pictures hang.
        models: where its models come from.
    """

    def __init__(self, models: Models) -> None:
        """Load and open nothing yet."""
        self.models = models
        self.panel = ControlPanel(CONTROLS)
        self.board = LatestJpeg()
        self._run: Run | None = None
        self._lock = threading.Lock()

    def start(self, choice: Choice) -> None:
        """Stream `choice`, instead of what was streamed before; returns at once."""
        with self._lock:
            previous = self._run
            if previous is not None:
                previous.stop()
            self.panel.update(paused=False)
            begun = Run(choice)
            begun.thread = threading.Thread(target=self._carry_out, args=(begun, previous), name="stream", daemon=True)
            self._run = begun
            begun.thread.start()

    def switch(self, model: str, device: str) -> None:
        """Let another model see what is streamed; nothing happens where nothing runs, or where it is the same one."""
        current = self._run
        if current is None or not self.is_running:
            return
        if (model, device) != (current.choice.model, current.choice.device):
            self.start(Choice(current.choice.name, current.choice.open_source, model, device))

    def stop(self) -> None:
        """End the stream, and return when it has ended, or takes unreasonably long to."""
        current = self._run
        if current is not None:
            current.stop()
            current.join(STOP_SECONDS)

    def close(self) -> None:
        """End the stream and let go of the models."""
        self.stop()
        self.models.clear()

    @property
    def is_running(self) -> bool:
        """Whether something is streamed, or is about to be."""
        return self._run is not None and self._run.state in ("starting", "running")

    @property
    def source(self) -> Source | None:
        """What is being read, if anything is."""
        return self._run.source if self._run is not None and self.is_running else None

    @property
    def choice(self) -> Choice | None:
        """What was started last."""
        return self._run.choice if self._run is not None else None

    def status(self) -> dict[str, Any]:
        """Return what a page shows about the stream, ready for JSON."""
        current = self._run
        if current is None:
            return {"state": "idle", "message": ""}
        state = "paused" if current.state == "running" and self.panel.current.paused else current.state
        result = current.sink.result if current.sink is not None else None
        recording = current.recording
        return {
            "state": state,
            "message": current.message or _waiting(current.source),
            "source": current.choice.name,
            "model": current.choice.model,
            "stats": current.stats.snapshot().as_dict(),
            "has_picture": result is not None,
            "classes": _count_by_class(result, current.class_names),
            "recording": recording is not None and recording.is_recording,
            "recorded_frames": recording.frames if recording is not None else 0,
            "recording_problem": recording.problem if recording is not None else "",
        }

    def reporters(self) -> list[Reporter]:
        """Return what tells the counters of the stream, for `/metrics`; nothing while nothing is streamed."""
        current = self._run
        if current is None or not self.is_running:
            return []
        source = current.source if isinstance(current.source, ReconnectingSource) else None
        return [Reporter(current.choice.name, current.stats, source)]

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the model of the stream knows; empty as long as none is loaded."""
        return self._run.class_names if self._run is not None and self.is_running else ()

    def controls_state(self) -> dict[str, Any]:
        """Return what visitors set while the stream runs, ready for JSON."""
        steered = asdict(self.panel.current)
        del steered["paused"]
        current = self._run
        return steered | {
            "classes": sorted(steered["classes"] or ()),
            "model": current.choice.model if current is not None else None,
            "device": current.choice.device if current is not None else None,
            "class_names": self.class_names,
        }

    def snapshot_png(self) -> bytes | None:
        """Return the newest picture as the controls show it, as a PNG file; None before the first."""
        current = self._run
        if current is None or current.sink is None or current.sink.result is None:
            return None
        picture = current.sink.result.redraw()
        return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()

    def start_recording(self, path: Path) -> bool:
        """Record what is streamed into `path`, unless it is being recorded already; return whether it has begun.

        Raises:
            SinkError: nothing is streamed, or no file can be written there.
        """
        current = self._run
        if current is None or current.recording is None or current.state != "running":
            raise SinkError("nothing is streamed that could be recorded: start a stream first")
        return current.recording.start(path)

    def stop_recording(self) -> None:
        """End the recording and finish its file."""
        current = self._run
        if current is not None and current.recording is not None:
            current.recording.stop()

    def _carry_out(self, begun: Run, previous: Run | None) -> None:
        """Run in the stream's thread: wait for the run before, then do this one, and keep what went wrong."""
        try:
            if previous is not None:
                previous.join()
            self._stream(begun)
            begun.state, begun.message = "ended", "Stopped" if begun.stopped.is_set() else "The source has ended"
        except SOLOv2Error as error:
            begun.state, begun.message = "failed", str(error)
        except Exception:
            traceback.print_exc()
            begun.state, begun.message = "failed", "Something broke inside; the server's terminal says what"
        finally:
            begun.source = None

    def _stream(self, begun: Run) -> None:
        choice, panel, stats = begun.choice, self.panel, begun.stats
        if not begun.stopped.is_set():
            begun.message = f"Loading the model {choice.model}"
            model = self.models.get(choice.model, choice.device)
        if begun.stopped.is_set():
            return
        begun.message = f"Opening {choice.name}"
        begun.class_names = tuple(model.class_names)
        if panel.current.classes is not None:  # of another model, perhaps
            panel.update(classes=(panel.current.classes & set(model.class_names)) or None)
        source = choice.open_source()
        begun.source = lasting(choice, source)
        begun.sink = JpegSink(self.board, panel, _cover_of(choice, begun.source))
        begun.recording = RecordingSink(source.frame_rate, MAX_RECORDED_BYTES)
        renderer = Renderer(model.class_names)

        def draw(result: Result) -> Picture:
            return renderer.draw(result, panel.current, stats.snapshot())

        lane = Lane(
            begun.source,
            [begun.sink, begun.recording],
            [Steadying(panel), Tracking(panel)] if source.is_live else [Tracking(panel)],
            draw=draw,
            panel=panel,
            stats=stats,
            score_slack=SCORE_SLACK if source.is_live else 0.0,
            frames_waiting=FRAMES_WAITING_WATCHED,
        )
        predictor = TorchPredictor(model, "latency" if source.is_live else "throughput")
        begun.state, begun.message = "running", ""
        Stream([lane], predictor, begun.stopped.is_set).run()


def lasting(choice: Choice, source: Source) -> Source:
    """Return a just opened source as the page streams it: a live one comes back, a file plays at its own speed."""
    if isinstance(source, Connection):
        return ReconnectingSource(choice.name, choice.open_source, first=source)
    return source if source.is_live else PacedSource(source)


def _waiting(source: Source | None) -> str:
    """Why a source gives nothing at the moment; nothing while it does."""
    if not isinstance(source, ReconnectingSource) or source.status.phase == "live":
        return ""
    return source.status.line()


def _cover_of(choice: Choice, source: Source) -> Cover | None:
    return WaitingCard(choice.name, source) if isinstance(source, ReconnectingSource) else None


def _count_by_class(result: Result | None, class_names: tuple[str, ...]) -> dict[str, int]:
    """How many instances of each class a result holds, the most frequent first."""
    if result is None:
        return {}
    return dict(Counter(class_names[label] for label in result.instances.labels.tolist()).most_common())
