"""`instances.jsonl` on disk: its header, how far an interrupted run came, and its end."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.annotation.jsonl_lines import Line
from app.annotation.jsonl_reader import InstancesFile
from app.annotation.jsonl_schema import FORMAT, FrameLine, HeaderLine, parse_line
from app.sinks.writable import writing
from app.stream.parts import Source
from app.stream_errors import SinkError, SourceError
from solov2.checkpoints.fingerprint import weights_fingerprint
from solov2.runtime.exported_model import ExportedModel
from solov2.runtime.open_predictor import Runnable

WHOLE_NAME = "instances.jsonl"
PARTIAL_NAME = "instances.partial.jsonl"


def model_header(name: str, model: Runnable) -> dict[str, Any]:
    """Return what the header says about the model, whose user calls it `name`."""
    return {
        "model": name,
        "weights": model.fingerprint if isinstance(model, ExportedModel) else weights_fingerprint(model),
        "device": model.device.type,
        "input_px": [model.variant.long_px, model.variant.short_px],
        "dtype": str(model.dtype).removeprefix("torch."),
        "classes": list(model.class_names),
    }


def source_header(source: Source) -> dict[str, Any]:
    """Return what the header says about the opened source."""
    height, width = source.frame_hw
    time_base = f"{source.time_base.numerator}/{source.time_base.denominator}"
    return {"width": width, "height": height, "time_base": time_base, "frame_rate": source.frame_rate}


@dataclass(frozen=True, slots=True)
class Recording:
    """The file of one input; `instances.partial.jsonl` until it is whole."""

    folder: Path

    @property
    def whole(self) -> Path:
        """Where it is once it is whole."""
        return self.folder / WHOLE_NAME

    @property
    def partial(self) -> Path:
        """Where it is before."""
        return self.folder / PARTIAL_NAME

    @property
    def path(self) -> Path:
        """Where it is now, or will be."""
        return self.whole if self.is_whole() else self.partial

    def is_whole(self) -> bool:
        """Whether it is finished."""
        return self.whole.exists()

    def header(self) -> Line | None:
        """Return its header; None where there is no file, or one that was cut in its first line."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            line = file.readline()
        return _parsed_header(line)

    def check(self, expected: Mapping[str, Any]) -> None:
        """Look whether the file that may be there was made from the same input in the same way.

        Raises:
            SinkError: something in `expected` differs from its header.
        """
        header = self.header()
        if header is None and self.is_whole():
            raise SinkError(f"{self.path} does not begin with a header of {FORMAT}: {_ADVICE.split(', ', 1)[1]}")
        if header is None:
            return
        wanted = {"format": FORMAT, **expected}
        for name, value in json.loads(json.dumps(wanted)).items():
            if header.get(name) != value:
                raise SinkError(_difference(self.path, name, header.get(name), value))

    def lines(self) -> Iterator[Line]:
        """Yield the lines after the header.

        Raises:
            SinkError: a line was changed since it was written.
        """
        if self.path.exists():
            try:
                yield from InstancesFile(self.path).lines()
            except SourceError as error:
                raise SinkError(f"{error}. Name another --out, or delete that folder") from error

    def rewind(self, batch: int) -> "Progress":
        """Cut an unfinished file behind its last whole batch and return how far it came; a finished one stays.

        A line that was being written when the run ended is lost, and so are the lines of a batch that was not
        finished: the batch runs again whole, with the same result.
        """
        if self.header() is None:
            self.partial.unlink(missing_ok=True)
            return Progress()
        progress = Progress()
        multiple = 1 if self.is_whole() else batch
        with self.path.open("rb") as file:
            end = len(file.readline())
            kept_end, reached = end, progress
            for line in file:
                record = _parsed_frame(line)
                if record is None:
                    break
                end += len(line)
                reached = Progress(reached.frames + 1, reached.instances + len(record.instances), record.frame)
                if reached.frames % multiple == 0:
                    kept_end, progress = end, reached
        if not self.is_whole():
            with writing(self.partial):
                os.truncate(self.partial, kept_end)
        return progress

    def finish(self) -> None:
        """Give the whole file its name, once it is safely on the disk."""
        with writing(self.partial), self.partial.open("rb+") as file:
            os.fsync(file.fileno())
        with writing(self.whole):
            self.partial.replace(self.whole)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file came: its frames, their instances, and the index of the last frame in the source."""

    frames: int = 0
    instances: int = 0
    last_index: int = -1


def _parsed_header(line: bytes) -> Line | None:
    try:
        return parse_line(HeaderLine, line).model_dump(exclude_unset=True) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _parsed_frame(line: bytes) -> FrameLine | None:
    try:
        return parse_line(FrameLine, line) if line.endswith(b"\n") else None
    except ValueError:  # a crash of the whole machine may leave anything
        return None


_ADVICE = "use the same options, name another --out, or delete that folder"


def _difference(path: Path, name: str, found: object, wanted: object) -> str:
    if name == "fingerprint":
        return f"{path} was made from another file of that name, or it has changed since: {_ADVICE.split(', ', 1)[1]}"
    if name == "weights":
        return f"{path} was made with other weights: {_ADVICE}"
    return f"{path} was made with {name} {json.dumps(found)}, and now it is {json.dumps(wanted)}: {_ADVICE}"
