"""Results of chunks on disk, beside the output that they will become, so that a run that was killed resumes."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.annotation.jsonl_lines import encode_line
from app.cluster.chunk import Chunk
from app.cluster.chunk_worker import Annotated
from app.sinks.writable import writing

FOLDER_NAME = "chunks.partial"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that is on disk, as its first line says; its lines follow in the file.

    Attributes:
        path: of the file.
        frames, instances, first_picture, next_picture, problem, notes: see `Annotated`.
    """

    path: Path
    frames: int
    instances: int
    first_picture: str
    next_picture: str
    problem: str | None
    notes: list[str]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the frames, each with its end."""
        with self.path.open("rb") as file:
            file.readline()
            yield from file


@dataclass(frozen=True, slots=True)
class ChunkFiles:
    """The results of the chunks of one input.

    Attributes:
        folder: of the input's outputs.
        header: of its `instances.jsonl`; a result with another one is of another run, and not used.
    """

    folder: Path
    header: Mapping[str, Any]

    def write(self, chunk: Chunk, result: Annotated) -> None:
        """Store a result; it appears under its name when it is whole. Raise DiskError if it cannot be written."""
        path = self._path(chunk)
        partial = path.with_suffix(".writing")
        first = {name: getattr(result, name) for name in _KEPT} | {"header": self.header}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(encode_line(first))
                file.write(result.lines)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)

    def find(self, chunk: Chunk) -> StoredChunk | None:
        """Return the result of a chunk; None where there is none that belongs to this run."""
        path = self._path(chunk)
        try:
            with path.open("rb") as file:
                first = json.loads(file.readline())
                count = sum(line.endswith(b"\n") for line in file)
            header = first.pop("header")
            stored = StoredChunk(path, **first)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        wanted = count if chunk.is_whole else len(chunk.frames)
        is_ours = header == json.loads(json.dumps(self.header)) and stored.frames == count == wanted
        return stored if is_ours else None

    def remove(self) -> None:
        """Remove all results."""
        shutil.rmtree(self.folder / FOLDER_NAME, ignore_errors=True)

    def _path(self, chunk: Chunk) -> Path:
        return self.folder / FOLDER_NAME / f"{chunk.name}.jsonl"


_KEPT = ("frames", "instances", "first_picture", "next_picture", "problem", "notes")
