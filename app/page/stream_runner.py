"""The one stream of a page, for everybody who looks at it: started, controlled and stopped from any thread."""

import threading
import time
import traceback
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2

from app.drawing.effects import check_effects
from app.events.open_deliveries import open_deliveries
from app.page.choice import Choice, SourceChoice
from app.page.feed import Feed, open_feed
from app.page.model_cache import Models
from app.page.run import Progress, Run
from app.page.view import View
from app.sinks.jpeg_sink import LatestJpeg, Viewer
from app.sources.browser import BrowserSource
from app.stream.controls import ControlPanel, Controls, PanelGroup
from app.stream.effect import Effect
from app.stream.pipeline import Stream
from app.stream.reporter import FixedStatus, Reporter
from app.stream.source_status import SourceStatus
from app.stream.stats import StreamStats
from app.stream_errors import AppError, SinkError
from solov2 import SOLOv2Error
from solov2.errors import UnknownNameError
from solov2.runtime.open_predictor import open_predictor

CONTROLS = Controls(show_readout=False)  # the page shows the rates beside the picture
STOP_SECONDS = 30.0
ALL = -1  # in place of a source's index: all sources


class Engine:
    """Runs one stream at a time on a thread of its own; new sources or another model are a new run of the pipeline.

    A run loads its model before it takes the place of the run before it: if that fails, the one before goes on.

    Attributes:
        panel: the controls of what visitors choose, now and later; the page's widgets write it.
        models: where its models come from.
        fixed_effects: those of the operator, which visitors cannot change; none where visitors choose.
        problem: why the last run that was asked for did not take the place of the one that goes on; empty otherwise.
    """

    def __init__(self, models: Models, fixed_effects: tuple[Effect, ...] = ()) -> None:
        """Load and open nothing yet."""
        self.models = models
        self.fixed_effects = fixed_effects
        self.panel = ControlPanel(replace(CONTROLS, effects=fixed_effects))
        self.problem = ""
        self._own_view = View(self.panel)
        self._named_views: dict[str, View] = {}
        self._run: Run | None = None
        self._next: Run | None = None  # loads its model, while `_run` goes on
        self._lock = threading.Lock()
        self._streaming = threading.Lock()  # held while sources are open: a camera cannot be opened twice

    def start(self, choice: Choice) -> None:
        """Stream `choice`, instead of what was streamed before; returns at once."""
        run = Run(choice, tuple(map(self._view_of, choice.sources)), self._execute)
        with self._lock:
            self.problem = ""
            if self._next is not None:
                self._next.stop()
            current = self._run
            if current is not None and current.progress.state == "running" and not current.is_stopped():
                self._next = run
            else:
                self._replace(run)
            run.start()

    def switch(self, model: str, device: str) -> None:
        """Let another model see what is streamed; nothing happens where nothing runs, or where it is the same one."""
        current = self._next or self._run
        if current is None or not self.is_running:
            return
        wanted = replace(current.choice, model=model, device=device)
        if wanted == self.choice:  # the model that still runs, again
            self._forget_next()
        elif wanted != current.choice:
            self.start(wanted)

    def stop(self) -> None:
        """End the stream, and return when it has ended, or takes unreasonably long to."""
        self._forget_next()
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
        return self._run is not None and self._run.is_on

    @property
    def run(self) -> Run | None:
        """The run that viewers see, or saw last."""
        return self._run

    @property
    def loading(self) -> Choice | None:
        """What will be streamed instead, once its model is loaded."""
        coming = self._next
        return coming.choice if coming is not None else None

    @property
    def choice(self) -> Choice | None:
        """What is streamed, or was last."""
        return self._run.choice if self._run is not None else None

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The sources that are being read."""
        return self._run.progress.feeds if self._run is not None and self._run.is_on else ()

    @property
    def views(self) -> tuple[View, ...]:
        """What viewers may look at, one for each source."""
        return self._run.views if self._run is not None else (self._own_view,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the model of the stream knows; empty as long as none is loaded."""
        return self._run.progress.class_names if self._run is not None and self._run.is_on else ()

    def boards(self, source: int = ALL) -> list[LatestJpeg]:
        """Return where the pictures of a source are posted, or the tiles of all."""
        views = self.views
        if len(views) == 1 or 0 <= source < len(views):
            return [views[max(0, source) if len(views) > 1 else 0].picture]
        return [view.tile for view in views]

    def viewers(self) -> frozenset[Viewer]:
        """Return who looks at this moment."""
        return frozenset().union(*(view.picture.viewers | view.tile.viewers for view in self.views))

    def panel_of(self, source: int = ALL) -> ControlPanel:
        """Return the controls of a source, or those of all."""
        views = self.views
        if len(views) == 1:
            return views[0].panel
        return views[source].panel if 0 <= source < len(views) else PanelGroup([view.panel for view in views])

    def set_effects(self, effects: tuple[Effect, ...], source: int = ALL) -> None:
        """Change the effects of a source, or of all; the stream goes on.

        Raises:
            UnknownNameError: the model does not know a class of them.
            AppError: the operator of the page has fixed them, or a background cannot be read.
        """
        if self.fixed_effects:
            raise AppError("the operator of this page has fixed the effects")
        with self._lock:  # so that no other model takes its turn meanwhile
            if self.class_names:
                check_effects(effects, self.class_names)
            views = self.views
            for view in views[source : source + 1] if 0 <= source < len(views) else views:
                view.set_effects(effects)

    def camera_of(self, viewer: str) -> BrowserSource | None:
        """Return the source that takes the pictures of a browser's camera, if this browser lends it."""
        cameras = (feed.camera for feed in self.feeds)
        return next((camera for camera in cameras if camera is not None and camera.viewer == viewer), None)

    def reporters(self) -> list[Reporter]:
        """Return what tells the counters of each source, for `/metrics`; nothing while nothing is streamed."""
        run = self._run
        if run is None or not run.is_on:
            return []
        opening = FixedStatus(SourceStatus("connecting", time.monotonic()))
        return [feed.reporter for feed in run.progress.feeds] or [
            Reporter(source.name, StreamStats(), opening) for source in run.choice.sources
        ]

    def controls_state(self, source: int = ALL) -> dict[str, Any]:
        """Return what visitors set while the stream runs, ready for JSON."""
        current = self.panel_of(source).current
        state = asdict(current)
        del state["paused"]
        state["effects"] = [f"{one.kind}:{'+'.join(sorted(one.classes or ()))}" for one in current.effects]
        choice = self.loading or self.choice
        return state | {
            "classes": sorted(state["classes"] or ()),
            "model": choice.model if choice is not None else None,
            "device": choice.device if choice is not None else None,
            "class_names": self.class_names,
        }

    def snapshot_png(self, source: int = 0) -> bytes | None:
        """Return the newest picture of a source as the controls show it, as a PNG file; None before the first."""
        feed = self._feed(source)
        if feed is None or feed.shown.result is None:
            return None
        picture = feed.shown.result.redraw()
        return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()

    def start_recording(self, path: Path, source: int = 0) -> bool:
        """Record a source into `path`, unless it is being recorded already; return whether it has begun.

        Raises:
            SinkError: nothing is streamed, or no file can be written there.
        """
        feed = self._feed(source)
        if feed is None or self._run is None or self._run.progress.state != "running":
            raise SinkError("nothing is streamed that could be recorded: start a stream first")
        return feed.recording.start(path)

    def stop_recording(self, source: int = 0) -> None:
        """End the recording of a source and finish its file."""
        feed = self._feed(source)
        if feed is not None:
            feed.recording.stop()

    def _feed(self, source: int) -> Feed | None:
        """A source of the run that is seen, also after its end."""
        feeds = self._run.progress.feeds if self._run is not None else ()
        return feeds[source] if 0 <= source < len(feeds) else None

    def _forget_next(self) -> None:
        with self._lock:
            if self._next is not None:
                self._next.stop()
                self._next = None

    def _view_of(self, source: SourceChoice) -> View:
        if source.controls is None:
            return self._own_view
        controls = replace(source.controls, effects=self.fixed_effects)
        return self._named_views.setdefault(source.name, View(ControlPanel(controls)))

    def _execute(self, run: Run) -> None:
        """Run in the thread of `run`: load its model, take the place of the run before, stream, keep what went wrong.

        Every exception is caught, as there is no caller: a bug must not leave visitors with a stream that seems to run.
        """
        try:
            model = self.models.get(run.choice.model, run.choice.device)
            if self._becomes_current(run, tuple(model.class_names)):
                with self._streaming:
                    self._stream(run, model)
            ending = Progress("ended", "Stopped" if run.is_stopped() else "The source has ended")
        except SOLOv2Error as error:
            ending = Progress("failed", str(error))
        except Exception:
            traceback.print_exc()
            ending = Progress("failed", "Something broke inside; the server's terminal says what")
        run.progress = replace(run.progress, state=ending.state, message=ending.message)
        with self._lock:
            if self._next is run:  # it never took its turn: the run before it goes on
                self._next = None
                self.problem = ending.message

    def _becomes_current(self, run: Run, class_names: tuple[str, ...]) -> bool:
        """Let `run` take the place of the run before it, unless it is stopped; return whether it does.

        Raises:
            AppError: an effect is about a class that the model of `run` does not know.
        """
        with self._lock:
            if run.is_stopped():
                return False
            for view in run.views:
                _check_effects_of(view, run.choice.model, class_names)
            run.progress = replace(run.progress, class_names=class_names)
            if self._run is not run:
                self._replace(run)
            return True

    def _replace(self, run: Run) -> None:
        """Let viewers see `run` from now on; the lock is held."""
        if self._run is not None:
            self._run.stop()
        for view in run.views:
            view.panel.update(paused=False)
        self._run, self._next = run, None

    def _stream(self, run: Run, model: Any) -> None:
        """Open the sources and stream them to the end; no other run has any open."""
        if run.is_stopped():
            return
        choice, class_names = run.choice, tuple(model.class_names)
        run.progress = Progress("starting", f"Opening {choice.name}", (), class_names)
        for view in run.views:
            _drop_unknown_classes(view.panel, class_names)
        with ExitStack() as opened:
            feeds: list[Feed] = []
            for source, view in zip(choice.sources, run.views, strict=True):
                feeds.append(open_feed(source, view, is_one_of_many=len(run.views) > 1))
                opened.callback(feeds[-1].source.close)
            is_live = any(feed.source.is_live for feed in feeds)
            predictor = open_predictor(model, self.models.engine, "latency" if is_live else "throughput")
            targets = [target for source in choice.sources for target in source.events]
            deliveries = opened.enter_context(open_deliveries(targets, is_live=True))
            lanes = []
            for source, feed in zip(choice.sources, feeds, strict=True):
                own = tuple(deliveries[target] for target in dict.fromkeys(source.events))
                lanes.append(feed.lane(class_names, len(feeds) > 1, own))
            run.progress = Progress("running", "", tuple(feeds), class_names)
            Stream(lanes, predictor, run.is_stopped).run()


def _check_effects_of(view: View, model: str, class_names: tuple[str, ...]) -> None:
    """Check that a model can find what has to be hidden or kept; raise AppError."""
    try:
        check_effects(view.panel.current.effects, class_names)
    except UnknownNameError as error:
        raise AppError(f"the model {model} does not fit the effect that is chosen: {error}") from error


def _drop_unknown_classes(panel: ControlPanel, class_names: tuple[str, ...]) -> None:
    """Forget chosen classes of another model."""
    classes = panel.current.classes
    if classes is not None:
        panel.update(classes=classes & set(class_names) or None)
