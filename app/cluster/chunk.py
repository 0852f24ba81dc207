"""Chunks: which frames of an input one worker annotates at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from app.sources.packet_index import PacketIndex, Stretch
from app.sources.selection import Selection


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames that one worker annotates at a time.

    Attributes:
        first: the number of its first frame among those that are selected; a multiple of the batch size, so that the
            batches are those of one machine.
        frames: their indexes in the source, in order; empty stands for all that are selected.
        stretch: how the pictures of a video are reached, the first one of the next chunk included; None for pictures.
    """

    first: int = 0
    frames: tuple[int, ...] = ()
    stretch: Stretch | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the input, read as one machine reads it."""
        return not self.frames

    @property
    def name(self) -> str:
        """Of its file, and for people."""
        return "whole" if self.is_whole else f"{self.first:09d}-{self.first + len(self.frames) - 1:09d}"


WHOLE = Chunk()


@dataclass(frozen=True, slots=True)
class Plan:
    """How an input is annotated.

    Attributes:
        source: what its header says about the opened source.
        expected: about how many frames will be annotated; None where unknown.
        chunks: in order.
    """

    source: dict[str, Any]
    expected: int | None
    chunks: tuple[Chunk, ...] = (WHOLE,)


def chunk_length(wanted: int, batch: int) -> int:
    """Return the least multiple of `batch` that is no less than `wanted`."""
    return -(-wanted // batch) * batch


def picture_chunks(count: int, selection: Selection, length: int) -> tuple[Chunk, ...]:
    """Return the chunks of a sequence of `count` pictures, `length` selected ones each."""
    frames = [index for index, _ in selection.choose(range(count), float)]
    if len(frames) <= length:
        return (WHOLE,)
    return tuple(Chunk(first, tuple(frames[first : first + length])) for first in range(0, len(frames), length))


def video_chunks(index: PacketIndex, time_base: Fraction, selection: Selection, length: int) -> tuple[Chunk, ...]:
    """Return the chunks of a video, `length` selected frames each.

    Each stretch ends with the first selected picture of the next chunk, which is decoded but not annotated: it must be
    the same from both sides. So every picture from the first to the end of the selection is decoded by somebody, and
    damage is noticed wherever it is.
    """
    pts = index.shown().tolist()
    chosen = list(selection.choose(pts, lambda ticks: float(ticks * time_base)))
    if len(chosen) <= length:
        return (WHOLE,)
    last = sum(float(ticks * time_base) < selection.end_seconds for ticks in pts) - 1
    return tuple(_video_chunk(index, chosen, first, length, last) for first in range(0, len(chosen), length))


def _video_chunk(index: PacketIndex, chosen: Sequence[tuple[int, int]], first: int, length: int, last: int) -> Chunk:
    here, behind = chosen[first : first + length], chosen[first + length : first + length + 1]
    begin = here[0][0] if first else 0
    end = behind[0][0] if behind else last
    stretch = index.stretch(begin, end, [pts for _, pts in [*here, *behind]])
    return Chunk(first, tuple(number for number, _ in here), stretch)
