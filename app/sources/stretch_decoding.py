"""Decode a stretch of a video exactly: every wanted picture once, the same as when the whole file is decoded."""

from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from app.sources.packet_index import Stretch
from app.stream_errors import SourceError

_EARLIER_SECONDS = (0, 2, 20)  # a container may seek by the time of decoding, or to a later key frame


class InexactError(SourceError):
    """A stretch whose packets or pictures are not those of the index: the file must be read as a whole."""


def decode_stretch(stretch: Stretch, container: InputContainer, stream: VideoStream, name: str) -> Iterator[VideoFrame]:
    """Yield the wanted pictures of a stretch, in order.

    Every picture from the first wanted one to the last is compared with the index. Pictures before the first are
    decoded, because later ones depend on them, and discarded.

    Raises:
        InexactError: a packet or picture is missing, damaged, or not in its place.
    """
    expected = iter(stretch.pts)
    try:
        for picture in _decoded(stretch, container, stream, name):
            if picture.pts is None or not stretch.pts[0] <= picture.pts <= stretch.pts[-1]:
                continue
            if picture.pts != next(expected, None) or picture.is_corrupt:
                raise InexactError(f"{name}: the picture at {picture.pts} is not the expected one")
            if picture.pts in stretch.wanted:
                yield picture
    except av.FFmpegError as error:
        raise InexactError(f"{name}: could not decode a stretch of it ({error.strerror})") from error
    if (missing := next(expected, None)) is not None:
        raise InexactError(f"{name}: the picture at {missing} is missing")


def _decoded(stretch: Stretch, container: InputContainer, stream: VideoStream, name: str) -> Iterator[VideoFrame]:
    packets = _packets(stretch, container, stream, name)
    for expected in stretch.packets:
        packet = next(packets, None)
        if packet is None or (packet.pts, packet.size) != expected:
            raise InexactError(f"{name}: the packet at {expected[0]} is not where it was")
        yield from stream.decode(packet)
    yield from stream.decode(None)


def _packets(stretch: Stretch, container: InputContainer, stream: VideoStream, name: str) -> "Iterator[Packet[Any]]":
    """Yield the packets of the stream from the first one of the stretch on."""
    if stretch.is_start:
        yield from container.demux(stream)
        return
    first = stretch.packets[0]
    for seconds in _EARLIER_SECONDS:
        ticks = round(seconds / stream.time_base) if stream.time_base else 0
        container.seek(first[0] - ticks, stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            if (packet.pts, packet.size) == first:
                yield packet
                yield from packets
                return
            if packet.is_keyframe and packet.pts is not None and packet.pts > first[0]:
                break
    raise InexactError(f"{name}: seeking to {first[0]} finds another packet")
