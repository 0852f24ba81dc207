"""From the results of chunks to one `instances.jsonl`, in one pass, with the ids that one machine gives."""

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import islice
from typing import Any

from app.annotation.jsonl_file import Recording
from app.annotation.jsonl_lines import Line, encode_line, read_instances
from app.annotation.jsonl_schema import FORMAT
from app.annotation.resumable_tracking import rebuild
from app.cluster.chunk import Chunk
from app.cluster.chunk_files import StoredChunk
from app.processors.observation import observations
from app.processors.tracker import Tracker
from app.sinks.writable import writing
from app.sources.stretch_decoding import InexactError


class Merger:
    """Appends the results of chunks, in order, to a recording that may hold the beginning already.

    Attributes:
        frames, instances: that the recording holds.
        new_frames: of them, those that this run added.
        problem, notes: of the chunks so far.
    """

    def __init__(self, recording: Recording, header: Mapping[str, Any], batch: int, track: bool) -> None:
        """Cut the recording behind its last whole batch, and bring the tracker to that place.

        Args:
            recording: of the input, not whole.
            header: its first line.
            batch: frames that run together.
            track: whether instances get ids.

        Raises:
            SinkError: the recording cannot be read or written.
        """
        self._recording, self._header = recording, header
        done = recording.rewind(batch)
        self.frames, self.instances, self.new_frames = done.frames, done.instances, 0
        self.problem: str | None = None
        self.notes: list[str] = []
        self._image_hw, self._time_base = (header["height"], header["width"]), Fraction(header["time_base"])
        self._tracker = Tracker() if track else None
        self._next_picture = ""
        if not done.frames:
            with writing(recording.partial):
                recording.folder.mkdir(parents=True, exist_ok=True)
                recording.partial.write_bytes(encode_line({"format": FORMAT, **header}))
        elif self._tracker is not None:
            rebuild(self._tracker, recording.lines(), self._image_hw, self._time_base)

    def needs(self, chunk: Chunk) -> bool:
        """Whether the recording does not hold all frames of a chunk yet."""
        return chunk.is_whole or chunk.first + len(chunk.frames) > self.frames

    def append(self, chunk: Chunk, stored: StoredChunk) -> None:
        """Append what the recording does not hold yet of a chunk; those before it were appended.

        Raises:
            InexactError: the picture at the seam to the chunk before has other pixels when it is decoded from there.
            DiskError: the recording cannot be written.
        """
        if self._next_picture and self._next_picture != stored.first_picture:
            raise InexactError(f"{self._recording.folder.name}: the pictures at frame {chunk.first} differ")
        self._next_picture = stored.next_picture
        self._write(islice(stored.lines(), self.frames - chunk.first, None))
        self.problem, self.notes = stored.problem, stored.notes

    def _write(self, texts: Iterable[bytes]) -> None:
        with writing(self._recording.partial), self._recording.partial.open("ab") as file:
            for text in texts:
                line = json.loads(text)
                file.write(text if self._tracker is None else encode_line(self._with_ids(line, self._tracker)))
                self.frames, self.instances = self.frames + 1, self.instances + len(line["instances"])
                self.new_frames += 1

    def _with_ids(self, line: Line, tracker: Tracker) -> Line:
        """Return the line as it is written where the tracker worked on the result itself."""
        size = line.get("height", self._image_hw[0]), line.get("width", self._image_hw[1])
        found = observations(read_instances(line["instances"], size))
        ids = tracker.update(found, float(line["pts"] * self._time_base))
        return line | {"instances": [_with_id(*pair) for pair in zip(line["instances"], ids, strict=True)]}


def _with_id(record: Line, track_id: int) -> Line:
    segmentation = record.pop("segmentation")
    return {**record, "track_id": track_id, "segmentation": segmentation}
