"""A worker: holds one loaded model, plans inputs, and annotates chunks. It knows nothing of Ray."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from app.annotate_run import GPU_BATCH
from app.annotation.inputs import Input
from app.annotation.job import hardware_notes
from app.annotation.jsonl_file import model_header, source_header
from app.annotation.jsonl_lines import as_recorded
from app.annotation.jsonl_sink import AnnotationSink
from app.annotation.object_store import LocalCopies
from app.annotation.settings import Settings
from app.cluster.chunk import WHOLE, Chunk, Plan, picture_chunks, video_chunks
from app.cluster.chunk_source import ChunkSource, open_chunk
from app.cluster.identity import program_identity
from app.sources.file_source import FileSource
from app.sources.packet_index import read_packet_index
from app.stream.controls import ControlPanel
from app.stream.lane import Lane
from app.stream.parts import Source
from app.stream.pipeline import Stream
from app.stream_errors import SourceError
from solov2.errors import SOLOv2Error
from solov2.predictor import Predictor, warm_up
from solov2.runtime.device import find_device
from solov2.runtime.open_predictor import load_runnable, open_predictor


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model a worker loads, as the options of the command say.

    Attributes:
        model, device, dtype, engine: see `app.options.add_model_options`.
        batch: frames that run together; None lets the device decide.
        input_px: see `load_model`.
    """

    model: str
    device: str
    dtype: str
    engine: str
    batch: int | None = None
    input_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model that is ready.

    Attributes:
        predictor: runs it.
        header: what the header of every file says about it.
        batch: frames that run together.
    """

    predictor: Predictor
    header: dict[str, Any]
    batch: int


OpenModel: TypeAlias = Callable[[ModelOptions], OpenedModel]


@dataclass(frozen=True, slots=True)
class Refused:
    """A user's error, as a value: not every exception survives the way between two processes."""

    message: str


@dataclass(frozen=True, slots=True)
class Ready:
    """What a worker says of itself once its model is loaded.

    Attributes:
        host, pid: where it runs.
        identity: see `program_identity`.
        header, batch: see `OpenedModel`.
    """

    host: str
    pid: int
    identity: dict[str, str]
    header: dict[str, Any]
    batch: int


@dataclass(frozen=True, slots=True)
class Annotated:
    """What was found in a chunk.

    Attributes:
        lines: as they stand in `instances.jsonl`, without ids.
        frames, instances: how many there are.
        first_picture, next_picture: see `ChunkSource`.
        problem: why not all of it could be read; what could be read is there.
        notes: what else a user should know.
        inexact: why the chunk is not exact, and the input must be read as a whole; nothing else counts then.
        seconds: what it took.
    """

    lines: bytes = b""
    frames: int = 0
    instances: int = 0
    first_picture: str = ""
    next_picture: str = ""
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    inexact: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """A chunk of an input to be annotated; `source` is that of the plan."""

    input: Input
    chunk: Chunk
    settings: Settings
    source: Mapping[str, Any]


def open_model(options: ModelOptions) -> OpenedModel:
    """Load the model that the options name, as one machine does, and make it ready.

    Raises:
        SOLOv2Error: it cannot be loaded, or not run here.
    """
    device = find_device(options.device)
    model = load_runnable(options.model, device, options.dtype, options.input_px)
    batch = options.batch or (GPU_BATCH if device.type == "cuda" else 1)
    predictor = open_predictor(model, options.engine, "throughput", batch)
    warm_up(predictor)
    return OpenedModel(predictor, model_header(Path(options.model).name, model), batch)


class ChunkWorker:
    """Loads the model once, and then does one piece of work after the other."""

    def __init__(self, options: ModelOptions, opener: OpenModel, folder: str) -> None:
        """Load nothing yet.

        Args:
            options: of the model.
            opener: loads it.
            folder: where relative paths begin, if there is such a folder on this machine.
        """
        self._options, self._opener = options, opener
        with suppress(OSError):
            os.chdir(folder)
        self._copies = LocalCopies()

    def open(self) -> Ready | Refused:
        """Load the model."""
        try:
            self._model = self._opener(self._options)
        except SOLOv2Error as error:
            return Refused(str(error))
        return Ready(socket.gethostname(), os.getpid(), program_identity(), self._model.header, self._model.batch)

    def plan(self, one: Input, settings: Settings, length: int) -> Plan | Refused:
        """Return the chunks of an input, `length` frames each, or why it cannot be read."""
        try:
            with closing(self._local(one).open(self._uses_gpu)) as source:
                header = source_header(source)
                expected = settings.expected_frames(source.frame_count, source.frame_rate)
            chunks = self._chunks(self._local(one), source, settings, length)
        except SourceError as error:
            return Refused(self._copies.named(one, str(error)))
        known = sum(len(chunk.frames) for chunk in chunks)
        return Plan(header, known or expected, chunks)

    def annotate(self, work: ChunkWork) -> Annotated | Refused:
        """Return what is in the frames of a chunk."""
        started = time.perf_counter()
        try:
            source = open_chunk(self._local(work.input), work.chunk, work.settings, self._uses_gpu)
        except SourceError as error:
            message = self._copies.named(work.input, str(error))
            return Refused(message) if work.chunk.is_whole else Annotated(inexact=message)
        with tempfile.TemporaryDirectory() as folder:
            return self._run(work, source, Path(folder) / "lines.jsonl", started)

    def close(self) -> None:
        """Remove the copy of an input in an object store."""
        self._copies.close()

    def _run(self, work: ChunkWork, source: Source, path: Path, started: float) -> Annotated:
        header = {"classes": self._model.header["classes"], **work.source}
        sink = AnnotationSink(path, header, file_name=work.input.file_name)
        lane = Lane(source, [sink], [as_recorded], panel=ControlPanel(work.settings.controls()))
        problem = None
        try:
            Stream([lane], self._model.predictor).run()
        except SourceError as error:
            problem = self._copies.named(work.input, str(error))
            if not work.chunk.is_whole:
                return Annotated(inexact=problem)
        pictures = (source.first_picture, source.next_picture) if isinstance(source, ChunkSource) else ("", "")
        notes = hardware_notes(source.file, []) if self._uses_gpu and isinstance(source, ChunkSource) else []
        lines = path.read_bytes().partition(b"\n")[2]
        seconds = time.perf_counter() - started
        return Annotated(lines, sink.frames, sink.instances, *pictures, problem, notes, seconds=seconds)

    def _chunks(self, one: Input, source: FileSource, settings: Settings, length: int) -> tuple[Chunk, ...]:
        selection = settings.selection()
        if one.pictures:
            return picture_chunks(len(one.pictures), selection, length)
        is_short = source.frame_count is not None and source.frame_count <= length
        index = None if one.is_demo or is_short else read_packet_index(one.path)
        return (WHOLE,) if index is None else video_chunks(index, source.time_base, selection, length)

    def _local(self, one: Input) -> Input:
        return self._copies.local(one)

    @property
    def _uses_gpu(self) -> bool:
        return bool(self._model.header["device"] == "cuda")
