"""The packets of a video in the order of decoding: which pictures it holds, and from where each can be decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from app.sources.decoding import Reading
from app.sources.video import open_container, video_stream
from app.stream_errors import SourceError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
PacketId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive pictures of a video, and the packets that are decoded to get them.

    Attributes:
        packets: (pts, bytes) of the packets from a key frame on, in the order of decoding.
        pts: of all pictures from the first wanted one to the last, in the order of display.
        wanted: those of `pts` whose pictures are wanted.
        is_start: whether the first packet is the first one of the file.
    """

    packets: tuple[PacketId, ...]
    pts: tuple[int, ...]
    wanted: frozenset[int]
    is_start: bool


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """The packets of a video stream; each array has one value for each packet, in the order of decoding.

    Attributes:
        pts: when the picture of the packet is shown, in ticks. No two are equal.
        sizes: bytes.
        is_key: decoding may begin here.
        is_shown: the container does not ask that the picture be discarded.
    """

    pts: IntArray
    sizes: IntArray
    is_key: BoolArray
    is_shown: BoolArray

    def shown(self) -> IntArray:
        """Return the pts of the pictures in the order of display."""
        return np.sort(self.pts[self.is_shown])

    def stretch(self, first: int, last: int, wanted: Sequence[int]) -> Stretch:
        """Return how to decode the pictures `first` to `last`, counted in the order of display from 0.

        Decoding begins at the latest key frame that is shown no later than the first picture, and before which no
        picture is decoded that is shown later. Pictures that follow that key frame and are shown before it, as in an
        open GOP, belong to the stretch before.

        Args:
            first, last: both belong to the stretch.
            wanted: the pts of the pictures that are wanted.
        """
        shown = self.shown()[first : last + 1]
        latest_before = np.maximum.accumulate(np.concatenate([[np.iinfo(np.int64).min], self.pts[:-1]]))
        may_begin = self.is_key & (self.pts <= shown[0]) & (latest_before < shown[0])
        begin = int(np.flatnonzero(may_begin)[-1]) if first else 0
        end = int(np.flatnonzero(self.pts <= shown[-1])[-1]) + 1
        packets = zip(self.pts[begin:end].tolist(), self.sizes[begin:end].tolist(), strict=True)
        return Stretch(tuple(packets), tuple(shown.tolist()), frozenset(wanted), begin == 0)


def read_packet_index(path: Path) -> PacketIndex | None:
    """Read every packet of a video file, without decoding.

    Returns None where the packets do not tell exactly which pictures there are: one has no timestamp, two have the
    same, or the file is damaged or cut off.
    """
    try:
        with open_container(path) as container:
            return _index(container, str(path))
    except (av.FFmpegError, SourceError):
        return None


def _index(container: InputContainer, name: str) -> PacketIndex | None:
    stream = video_stream(container, name)
    seen = Reading()
    rows: list[tuple[int, int, bool, bool]] = []
    for packet in container.demux():
        seen.packet(packet)
        if packet.stream is not stream or not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt:
            return None
        rows.append((packet.pts, packet.size, packet.is_keyframe, not packet.is_discard))
    if not rows or not rows[0][2] or seen.problem(container, stream) is not None:
        return None
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    index = PacketIndex(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3])
    return index if len(np.unique(index.pts)) == len(index.pts) else None
