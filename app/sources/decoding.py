"""Decode whatever can be read of a file, in order, and then say where it is damaged or cut off, if it is."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from app.stream_errors import SourceError
from solov2.pixel_limit import decoder_options

_MISSING_SECONDS = 0.5
# The containers whose header states their length, in seconds; of others FFmpeg estimates it from what is there.
_STATE_SECONDS = ("mov,mp4", "matroska", "flv", "mxf")
_COUNT_FROM_ZERO = ("matroska", "flv")
_TRANSPORT_PACKET = (188, 192, 204)  # bytes, with the time or the check sum that may accompany each


@dataclass(slots=True)
class Reading:
    """What was noticed while a file was read.

    Attributes:
        packets, pictures: of the video.
        last: the last picture, None before it.
        next_pts: of the picture after it.
        end_seconds: where the packets so far end.
        damaged_seconds: where decoding failed for the first time.
        doubted_seconds: where a packet or picture was incomplete for the last time. Pictures can mostly be made of it.
        stopped: why nothing more can be read, and where.
    """

    packets: int = 0
    pictures: int = 0
    last: VideoFrame | None = None
    next_pts: int = 0
    end_seconds: float = 0.0
    damaged_seconds: float | None = None
    doubted_seconds: float = -math.inf
    stopped: str | None = None

    def packet(self, packet: "Packet[Any]") -> None:
        """Take note of a packet of any stream."""
        if packet.pts is not None and packet.time_base is not None:
            self.end_seconds = max(self.end_seconds, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.is_corrupt:
            self.doubted_seconds = self.end_seconds

    def picture(self, picture: VideoFrame) -> VideoFrame:
        """Take note of a picture, and give it a timestamp if it has none."""
        picture.pts = self.next_pts if picture.pts is None else picture.pts
        self.last, self.next_pts = picture, picture.pts + picture.duration
        self.pictures += 1
        if picture.is_corrupt:
            self.doubted_seconds = float(picture.pts * (picture.time_base or 0))
        return picture

    def failed(self) -> None:
        """Take note that decoding failed here."""
        if self.damaged_seconds is None:
            self.damaged_seconds = self.end_seconds

    def problem(self, container: InputContainer, stream: VideoStream) -> str | None:
        """Say what is wrong with the file that was read, None where nothing is."""
        stated, end = stated_end_seconds(container, stream), self.end_seconds
        cut = None
        if self.stopped is not None:
            cut = self.stopped
        elif end < stated - _MISSING_SECONDS:
            cut = f"is cut off at {end:.1f} s of {stated:.1f} s"
        elif self.doubted_seconds > end - _MISSING_SECONDS or _ends_within_a_packet(container):
            cut = f"is cut off at {end:.1f} s"
        before = self.damaged_seconds is not None and (cut is None or self.damaged_seconds < end - _MISSING_SECONDS)
        damage = f"is damaged at {self.damaged_seconds:.1f} s" if before else None
        return " and ".join(filter(None, (damage, cut))) or None


def every_picture(container: InputContainer, stream: VideoStream, name: str) -> Iterator[VideoFrame]:
    """Decode every picture that can be read, in order, and then say where the video is damaged, if it is.

    Raises:
        SourceError: a part could not be decoded, or the video ends before its header says, or within a picture.
    """
    seen = Reading()
    yield from _decoded(container, stream, seen)
    missing = seen.packets - seen.pictures
    if missing > 0 and stream.codec_context.thread_count > 1 and os.path.isfile(container.name):
        yield from map(seen.picture, islice(_pictures_after_last(container.name, stream, seen), missing))
    problem = seen.problem(container, stream)
    if problem is not None and seen.pictures:
        raise SourceError(f"{name} {problem}; every frame that could be read was used")


def _decoded(container: InputContainer, stream: VideoStream, seen: Reading) -> Iterator[VideoFrame]:
    try:
        for packet in container.demux():
            seen.packet(packet)
            if packet.stream is not stream:
                continue
            seen.packets += packet.size > 0
            yield from map(seen.picture, _pictures(stream, packet, seen))
    except av.FFmpegError as error:
        seen.stopped = f"cannot be read beyond {seen.end_seconds:.1f} s ({error.strerror})"


def _pictures(stream: VideoStream, packet: "Packet[Any]", seen: Reading) -> list[VideoFrame]:
    try:
        return stream.decode(packet)
    except av.InvalidDataError:
        seen.failed()
        return []


def _pictures_after_last(path: str, stream: VideoStream, seen: Reading) -> Iterator[VideoFrame]:
    """Yield the pictures behind the last one, from its key frame on decoded again one after the other.

    Where one of the last packets is damaged, a decoder with several frames in flight gives up those beside it, too,
    and does not tell.
    """
    if (last := seen.last) is None or last.pts is None:
        return
    is_behind = False
    try:
        with av.open(path, options=decoder_options(), metadata_errors="replace") as container:
            tail = container.streams.video[0]
            tail.codec_context.options = decoder_options()
            container.seek(last.pts, stream=tail)
            for packet in container.demux(tail):
                for picture in _pictures(tail, packet, seen):
                    if is_behind:
                        yield picture
                    is_behind = is_behind or (picture.pts == last.pts and _is_same_picture(picture, last))
    except av.FFmpegError:
        return


def _is_same_picture(one: VideoFrame, other: VideoFrame) -> bool:
    return np.array_equal(one.to_ndarray(format="gray"), other.to_ndarray(format="gray"))


def stated_end_seconds(container: InputContainer, stream: VideoStream) -> float:
    """The time at which the container's header says that it ends, 0 where it says nothing reliable."""
    name = container.format.name
    if name == "avi" and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if container.duration is None or not name.startswith(_STATE_SECONDS):
        return 0.0
    start = 0 if name.startswith(_COUNT_FROM_ZERO) else container.start_time or 0
    return (start + container.duration) / av.time_base


def expected_pictures(container: InputContainer, stream: VideoStream) -> int | None:
    """How many pictures the container counts, or else its length times its rate; None where it does not say that."""
    if stream.frames:
        return stream.frames
    if container.duration is None or not stream.average_rate:
        return None
    start = container.start_time or 0 if container.format.name.startswith(_COUNT_FROM_ZERO) else 0
    return max(1, round((container.duration - start) / av.time_base * stream.average_rate))


def _ends_within_a_packet(container: InputContainer) -> bool:
    """Whether a transport stream, which consists of packets of one length, is no whole number of them long."""
    size = container.size
    return container.format.name == "mpegts" and size > 0 and all(size % length for length in _TRANSPORT_PACKET)
