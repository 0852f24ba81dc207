"""What `instances.jsonl` holds: a header, then a line for each frame. Read line by line, never as a whole."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.annotation.jsonl_schema import FORMAT, AnyLine, FrameLine, HeaderLine, InstanceLine, parse_line
from app.stream_errors import SourceError
from solov2.masks.crop_rle import decode_crop
from solov2.masks.mask_crop import MaskCrop


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
        """The picture's name without its suffix, unless that is dots alone: the name of what belongs to it."""
        path = PurePosixPath(self.picture)
        return str(path.with_suffix("") if path.stem.strip(". ") else path)


class InstancesFile:
    """An `instances.jsonl`; iterating reads it from its beginning, line by line, as often as one likes."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            SourceError: the file cannot be read, or does not begin with a header of this format.
        """
        self.path = path
        with self._open() as file:
            self._header_line = self._parsed(1, HeaderLine, file.readline())
        first = self._header_line
        rate = None if first.frame_rate is None else float(first.frame_rate)
        self.header = Header(
            first.source, first.width, first.height, tuple(first.classes), rate, first.seconds_per_tick()
        )

    def __iter__(self) -> Iterator[FrameRecord]:
        """Yield the frames in order; raise SourceError where a line is not a frame's."""
        return map(self._frame, self._lines())

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines after the header as they are in the file, checked; raise SourceError where one is wrong."""
        for line in self._lines():
            yield line.model_dump(exclude_unset=True)

    def offsets(self) -> Iterator[tuple[int, FrameRecord]]:
        """Yield the frames, each with the place of its line in the file, at which `frames_at` finds it again."""
        with self._open() as file:
            offset, number = len(file.readline()), 2
            while text := file.readline():
                yield offset, self._frame(self._parsed(number, FrameLine, text))
                offset, number = offset + len(text), number + 1

    def frames_at(self, offsets: Iterable[int]) -> Iterator[FrameRecord]:
        """Yield the frames whose lines begin at `offsets`."""
        with self._open() as file:
            for offset in offsets:
                file.seek(offset)
                yield self._frame(FrameLine.model_validate_json(file.readline()))

    def _lines(self) -> Iterator[FrameLine]:
        with self._open() as file:
            file.readline()
            for number, text in enumerate(file, start=2):
                yield self._parsed(number, FrameLine, text)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise SourceError(f"could not read {self.path}: {error.strerror}") from error

    def _parsed(self, number: int, kind: type[AnyLine], text: bytes) -> AnyLine:
        try:
            line = parse_line(kind, text)
            if isinstance(line, FrameLine):
                line.check_instances(self._header_line)
        except ValueError as error:
            raise SourceError(f"{self.path}, line {number} is not what {FORMAT} asks for: {error}") from error
        return line

    def _frame(self, line: FrameLine) -> FrameRecord:
        return FrameRecord(
            line.frame,
            line.pts,
            float(line.seconds),
            line.width or self.header.width,
            line.height or self.header.height,
            line.file_name or f"frame_{line.frame:06d}.jpg",
            tuple(self._instance(record) for record in line.instances if record.area),
        )

    def _instance(self, record: InstanceLine) -> InstanceRecord:
        left, top, width, height = record.bbox
        return InstanceRecord(
            record.category_id,
            self.header.classes[record.category_id - 1],
            float(record.score),
            (left, top, width, height),
            record.area,
            record.segmentation,
            record.track_id,
        )
