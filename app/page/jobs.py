"""The videos that visitors have dropped: checked, annotated one after another, kept while their page is open."""

import math
import os
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av

from app.annotate import annotate
from app.annotation.formats import FORMATS
from app.annotation.jsonl_file import model_header, source_header
from app.annotation.jsonl_sink import AnnotationSink
from app.annotation.settings import Settings
from app.page.model_cache import Models
from app.sinks.audio import Audio
from app.sinks.video_sink import VideoSink
from app.sources import open_source
from app.sources.file_source import FileSource
from app.sources.video import video_stream
from app.stream.effect import Effect
from app.stream.parts import Sink
from app.stream_errors import SinkError, SourceError
from solov2 import SOLOv2Error
from solov2.output_lock import locked
from solov2.pixel_limit import decoder_options

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,gif,h264,mjpeg,mxf"
ORIGINAL, ANNOTATED, LINES, COCO, YOLO = "original", "annotated.mp4", "instances.jsonl", "coco.json", "yolo.zip"
TOLD_SECONDS = 0.25
MAX_JOBS_OF_VISIT, MAX_JOBS = 20, 100


@dataclass(eq=False)
class VideoJob:
    """One video of a visitor.

    Attributes:
        name: as the visitor calls it.
        folder: holds the video and what is made from it, and nothing else; removed by `remove`.
        token: names it in addresses; nobody can guess it.
        state: "waiting", "running", "done", "cancelled" or "failed".
        problem: why it failed, or is not whole.
        frames, total: how many are done, and how many there will be as far as is known.
        fps: frames per second so far.
    """

    name: str
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = "waiting"
    problem: str = ""
    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    _effects: tuple[Effect, ...] = field(default=(), init=False)  # of the annotated video

    @classmethod
    def take(cls, upload: Path, parent: Path) -> "VideoJob":
        """Give an uploaded file a second name, in a new folder of its own below `parent`.

        The first one stays: Gradio gives the same path to everybody who drops the same file.

        Raises:
            SourceError: the file is not there any more.
        """
        job = cls(upload.name, parent / secrets.token_hex(8))
        job.folder.mkdir(parents=True)
        try:
            try:
                os.link(upload, job.original)
            except OSError:  # on another disk, or on one without links
                shutil.copyfile(upload, job.original)
        except OSError as error:
            job.remove()
            raise SourceError(f"{upload.name} could not be taken ({error.strerror}): drop it again") from error
        return job

    @property
    def original(self) -> Path:
        """The video as it was dropped, under a name that no visitor chose."""
        return self.folder / ORIGINAL

    @property
    def seconds_left(self) -> float:
        """As far as the rate so far tells; infinite where nothing is known."""
        return max(0, self.total - self.frames) / self.fps if self.total and self.fps else math.inf

    def run(
        self, models: Models, model_name: str, device: str, settings: Settings, *, effects: tuple[Effect, ...] = ()
    ) -> Iterator[None]:
        """Annotate it, and yield a few times a second; what went wrong is in `state` and `problem`."""
        self._effects = effects
        if self.cancelled.is_set():
            self.state = "cancelled"
            return
        try:
            with locked(self.folder / LINES):
                yield from self._run(models, model_name, device, settings)
        except SOLOv2Error as error:  # of the lock; others are in `problem` already
            self.state, self.problem = "failed", str(error)

    def _run(self, models: Models, model_name: str, device: str, settings: Settings) -> Iterator[None]:
        self.state = "running"
        yield  # loading the model may take a while
        try:
            check_container(self.original)
            yield from self._annotate(models, model_name, device, settings)
            if self.cancelled.is_set():
                self.state = "cancelled"
            else:
                write_formats(self.folder)
                self.state = "done"
        except SOLOv2Error as error:
            self.state = "failed"
            self.problem = str(error).replace(str(self.original), self.name)
        except Exception:  # a bug of any kind: the other videos go on, and the terminal shows it
            traceback.print_exc()
            self.state, self.problem = "failed", "something broke inside; the server's terminal says what"
        finally:
            if self.state != "done":
                self._remove_outputs()

    def remove(self) -> None:
        """Stop it soon, and remove its files now."""
        self.cancelled.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _annotate(self, models: Models, model_name: str, device: str, settings: Settings) -> Iterator[None]:
        model = models.get(model_name, device)
        source: FileSource = open_source(str(self.original))  # type: ignore[assignment]  # a path never is live
        self.total = source.frame_count
        header = {"source": self.name, **source_header(source), **model_header(model_name, model)}
        sinks: list[Sink] = [
            VideoSink(self.folder / ANNOTATED, frame_rate=source.frame_rate, audio=Audio(self.original)),
            AnnotationSink(self.folder / LINES, header | settings.as_header()),
        ]
        started = told_at = time.monotonic()
        try:
            with closing(annotate(source, model, sinks, settings, models.engine, self._effects)) as results:
                for _ in results:
                    self.frames += 1
                    now = time.monotonic()
                    self.fps = self.frames / max(now - started, 1e-6)
                    if self.cancelled.is_set():
                        return
                    if now - told_at >= TOLD_SECONDS:
                        told_at = now
                        yield
        except SourceError as error:  # what could be read is there
            if not self.frames:
                raise
            self.problem = str(error).replace(str(self.original), self.name)

    def _remove_outputs(self) -> None:
        for path in self.folder.glob("*"):
            if path != self.original:
                path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def check_container(path: Path) -> None:
    """Look whether a file is a video on its own: nothing that would make FFmpeg open other files or addresses.

    Raises:
        SourceError: it is not, or declares more pixels than are read.
    """
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"} | decoder_options()
    try:
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            if container.streams.video:
                video_stream(container, "the video")
                return
    except (av.FFmpegError, ValueError):
        pass
    raise SourceError("this is not a video that can be read; MP4, MOV, MKV, WebM and AVI are known")


def write_formats(folder: Path) -> None:
    """Make COCO's JSON and a ZIP of YOLO's labels from the lines.

    Raises:
        SinkError: they cannot be written.
    """
    lines = folder / LINES
    work = folder / "formats"
    try:
        FORMATS["coco"](lines, work / "coco").replace(folder / COCO)
        FORMATS["yolo"](lines, work / "yolo")
        shutil.make_archive(str((folder / YOLO).with_suffix("")), "zip", work / "yolo")
    except OSError as error:
        raise SinkError(f"could not write the annotations: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Jobs:
    """The jobs of all visitors, by visit. Every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """Keep the files of the jobs below `folder`."""
        self._folder = folder
        self._of_visit: dict[str, list[VideoJob]] = {}
        self._adding = threading.Lock()

    def add(self, visit: str, uploads: list[Path]) -> list[VideoJob]:
        """Take uploaded files over; return the jobs that were made of them.

        Raises:
            SourceError: one of them is not there any more, or there would be too many. Those before it were taken.
        """
        added = []
        for upload in uploads:
            with self._adding:
                self._check_quota(visit)
                added.append(VideoJob.take(upload, self._folder))
                self._of_visit.setdefault(visit, []).append(added[-1])
        return added

    def _check_quota(self, visit: str) -> None:
        if len(self._of_visit.get(visit, ())) >= MAX_JOBS_OF_VISIT:
            raise SourceError(f"one visit may annotate {MAX_JOBS_OF_VISIT} videos: load the page again for more")
        if sum(map(len, self._of_visit.values())) >= MAX_JOBS:
            raise SourceError(f"this page keeps {MAX_JOBS} videos at a time: try again when others have left")

    def of(self, visit: str) -> list[VideoJob]:
        """The jobs of a visit, in the order in which they came."""
        return list(self._of_visit.get(visit, ()))

    def find(self, token: str) -> VideoJob | None:
        """Return the job that `token` names."""
        return next((job for jobs in list(self._of_visit.values()) for job in jobs if job.token == token), None)

    def cancel(self, visit: str) -> None:
        """Let the jobs of a visit that are not done end, and those that wait not begin."""
        for job in self.of(visit):
            job.cancelled.set()
            if job.state == "waiting":
                job.state = "cancelled"

    def remove(self, visit: str) -> None:
        """Forget a visit that has ended, with all its files."""
        for job in self._of_visit.pop(visit, ()):
            job.remove()

    def close(self) -> None:
        """Forget every visit."""
        for visit in list(self._of_visit):
            self.remove(visit)
