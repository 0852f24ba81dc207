"""What `instances.jsonl` holds: a header, then a line for each frame. Read line by line, never as a whole."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.stream_errors import SourceError
from solov2.instances import MaskCrop

FORMAT = "solov2-live/1"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what was annotated, and how.

    Attributes:
        source: its name.
        width, height: of the frames, px; a folder's pictures may differ.
        classes: category k is called classes[k - 1].
        frame_rate: nominal frames per second, None where unknown.
        time_base: seconds per tick of `pts`.
    """

    source: str
    width: int
    height: int
    classes: tuple[str, ...]
    frame_rate: float | None
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance of a frame.

    Attributes:
        category_id: 1, 2, ...; `category` is its name.
        score: in [0, 1].
        bbox: left, top, width, height in px.
        area: pixels of the mask.
        segmentation: COCO's compressed run-length code: {"size": [height, width], "counts": text}.
        track_id: lasts from frame to frame; None where nobody tracked.
    """

    category_id: int
    category: str
    score: float
    bbox: tuple[float, float, float, float]
    area: int
    segmentation: Mapping[str, Any]
    track_id: int | None = None

    def crop(self) -> MaskCrop:
        """Decode the part of the mask that its bounding box holds."""
        return decode_crop(self.segmentation)

    def mask(self) -> npt.NDArray[np.uint8]:
        """Decode the mask: (height, width) uint8 zeros and ones of the whole picture."""
        return np.asarray(coco_mask.decode(self.segmentation), np.uint8)


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame and its instances, best first.

    Attributes:
        frame: index in the source, from 0 on.
        pts, seconds: presentation time in ticks and seconds.
        width, height: px.
        picture: the picture's name, with `/` between folders: its own, or frame_000012.jpg for frame 12 of a video.
        instances: those with a pixel.
    """

    frame: int
    pts: int
    seconds: float
    width: int
    height: int
    picture: str
    instances: tuple[InstanceRecord, ...]

    @property
    def stem(self) -> str:
        """The picture's name without its suffix: what belongs to the picture is called so."""
        return str(PurePosixPath(self.picture).with_suffix(""))


def decode_crop(segmentation: Mapping[str, Any]) -> MaskCrop:
    """Decode the part of COCO's compressed run-length code that its bounding box holds."""
    left, top, width, height = (int(number) for number in coco_mask.toBbox(segmentation))
    plane = coco_mask.decode(segmentation)
    return MaskCrop(top, left, np.ascontiguousarray(plane[top : top + height, left : left + width], np.bool_))


class InstancesFile:
    """An `instances.jsonl`; iterating reads it from its beginning, line by line, as often as one likes."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            SourceError: the file cannot be read, or does not begin with a header of this format.
        """
        self.path = path
        with self._open() as file:
            self.header = self._parsed(1, file.readline(), _header)

    def __iter__(self) -> Iterator[FrameRecord]:
        """Yield the frames in order; raise SourceError where a line is not a frame's."""
        with self._open() as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                yield self._parsed(number, line, self._frame)

    def offsets(self) -> Iterator[tuple[int, FrameRecord]]:
        """Yield the frames, each with the place of its line in the file, at which `frames_at` finds it again."""
        with self._open() as file:
            offset, number = len(file.readline()), 2
            while line := file.readline():
                yield offset, self._parsed(number, line, self._frame)
                offset, number = offset + len(line), number + 1

    def frames_at(self, offsets: Iterable[int]) -> Iterator[FrameRecord]:
        """Yield the frames whose lines begin at `offsets`."""
        with self._open() as file:
            for offset in offsets:
                file.seek(offset)
                yield self._frame(json.loads(file.readline()))

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise SourceError(f"could not read {self.path}: {error.strerror}") from error

    def _parsed(self, number: int, line: bytes, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("not an object")
            return parse(value)
        except (ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
            flaw = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise SourceError(f"{self.path}, line {number} is not what {FORMAT} asks for: {flaw}") from error

    def _frame(self, line: Mapping[str, Any]) -> FrameRecord:
        return FrameRecord(
            int(line["frame"]),
            int(line["pts"]),
            float(line["seconds"]),
            int(line.get("width", self.header.width)),
            int(line.get("height", self.header.height)),
            _checked_name(line["file_name"]) if "file_name" in line else f"frame_{line['frame']:06d}.jpg",
            tuple(self._instance(record) for record in line["instances"] if record["area"]),
        )

    def _instance(self, record: Mapping[str, Any]) -> InstanceRecord:
        category_id, (left, top, width, height) = int(record["category_id"]), record["bbox"]
        if not 1 <= category_id <= len(self.header.classes):
            raise ValueError(f"category_id {category_id} is none of the header's {len(self.header.classes)} classes")
        name, track_id = self.header.classes[category_id - 1], record.get("track_id")
        box, code = (left, top, width, height), record["segmentation"]
        return InstanceRecord(category_id, name, float(record["score"]), box, int(record["area"]), code, track_id)


def _header(line: Mapping[str, Any]) -> Header:
    if line.get("format") != FORMAT:
        raise ValueError(f"its format is {line.get('format')!r}")
    sizes = int(line["width"]), int(line["height"])
    classes, time_base = tuple(map(str, line["classes"])), Fraction(line["time_base"])
    return Header(str(line["source"]), *sizes, classes, line.get("frame_rate"), time_base)


def _checked_name(name: str) -> str:
    """Return a picture's name if what is called like it stays within a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"file_name {name!r} leads out of its folder")
    return str(path)
