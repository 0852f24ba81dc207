"""The sound of a file, copied packet by packet beside a video that was made from it."""

import heapq
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

MAX_MISSING_SECONDS = 1.0  # of the pictures of a file that were all used
MAX_TICKS = 2**31 - 1  # that the file's header can state
# Which speakers so many channels are for where a file does not say it, as of PCM in AVI: an MP4 must say it.
_DEFAULT_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")

AnyPacket: TypeAlias = "Packet[Any]"


@dataclass(slots=True)
class Audio:
    """Every audio stream of a file, between two moments.

    Attributes:
        path: of the file.
        start_seconds, end_seconds: packets that begin before the one, or at or after the other, are left out.
        stops_with_video: where the pictures end long before those of the file, the audio ends there, too.
        left_out: why streams could not be copied, found out while copying; empty if all were.
    """

    path: Path
    start_seconds: float = -math.inf
    end_seconds: float = math.inf
    stops_with_video: bool = False
    left_out: list[str] = field(default_factory=list)

    def beside(
        self, video: Iterable[AnyPacket], source: InputContainer, target: OutputContainer, shift_seconds: float
    ) -> Iterator[AnyPacket]:
        """Yield the packets of `video` and the audio's, in the order of time, ready for `target`.

        Args:
            video: its packets; their stream is in `target` already, which was not written to yet.
            source: the opened file of the audio.
            target: gets a stream for each of the audio's that it can hold.
            shift_seconds: added to every timestamp of the audio.
        """
        copies = self._add_streams(source, target)
        return heapq.merge(video, self._packets(source, copies, shift_seconds), key=_seconds)

    def pictures_end(self, seconds: float) -> None:
        """Take note that the last picture that was made from the file ends there."""
        if not self.stops_with_video:
            return
        with suppress(OSError, av.FFmpegError), av.open(os.path.abspath(self.path), metadata_errors="replace") as file:
            start = (file.start_time or 0) / av.time_base
            if file.duration is None or seconds + MAX_MISSING_SECONDS < start + file.duration / av.time_base:
                self.end_seconds = min(self.end_seconds, seconds)

    def open(self) -> InputContainer | None:
        """Open the file; return None where that fails, which `left_out` tells then."""
        try:
            return av.open(os.path.abspath(self.path), metadata_errors="replace")
        except (OSError, av.FFmpegError) as error:
            self.left_out.append(f"the audio could not be read ({error.strerror})")
            return None

    def _add_streams(self, source: InputContainer, target: OutputContainer) -> dict[int, AudioStream]:
        copies = {}
        for stream in source.streams.audio:
            codec = stream.codec_context
            if codec is None:  # whatever the type says
                self.left_out.append("audio in an unknown codec does not fit into an MP4")
                continue
            try:
                copy = target.add_stream_from_template(stream)
                copy.codec_context.layout = _stated_layout(codec.layout)
                copy.metadata.update(stream.metadata)
                copies[stream.index] = copy
            except (ValueError, av.FFmpegError):
                self.left_out.append(f"audio in {codec.name} does not fit into an MP4")
        return copies

    def _packets(
        self, source: InputContainer, copies: dict[int, AudioStream], shift_seconds: float
    ) -> Iterator[AnyPacket]:
        last_dts: dict[int, int] = {}
        streams = [stream for stream in source.streams.audio if stream.index in copies]
        try:
            for packet in source.demux(streams) if streams else ():
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue
                if not self.start_seconds <= packet.pts * packet.time_base < self.end_seconds:
                    continue
                if packet.dts <= last_dts.get(packet.stream.index, packet.dts - 1):  # no MP4 could hold it
                    continue
                last_dts[packet.stream.index] = packet.dts
                ticks = round(shift_seconds / packet.time_base)
                packet.dts, packet.pts = packet.dts + ticks, packet.pts + ticks
                packet.stream = copies[packet.stream.index]
                yield packet
        except (av.FFmpegError, OverflowError) as error:
            reason = error.strerror if isinstance(error, av.FFmpegError) else "wrong timestamps"
            self.left_out.append(f"the audio could not be read to its end ({reason})")


def _stated_layout(layout: AudioLayout) -> AudioLayout:
    """Return the layout, or the usual one for so many channels where it does not say what each is for."""
    is_stated = all(channel.name != "NONE" for channel in layout.channels)
    if is_stated or layout.nb_channels > len(_DEFAULT_LAYOUTS):
        return layout
    return AudioLayout(_DEFAULT_LAYOUTS[layout.nb_channels - 1])


def movie_timescale(video: Fraction, sound: InputContainer | None) -> int:
    """Ticks per second in which the first timestamp of the video, and of the audio, can be stated exactly.

    Args:
        video: seconds per tick of its timestamps.
        sound: the audio's file; None where there is none.
    """
    ticks = [stream.time_base.denominator for stream in sound.streams.audio if stream.time_base] if sound else []
    exact = math.lcm(video.denominator, *ticks)
    return exact if exact <= MAX_TICKS else video.denominator


def _seconds(packet: AnyPacket) -> float:
    return float((packet.dts or 0) * packet.time_base)
