"""A live stream of PyAV: its pictures as they arrive, from a key frame on, with the time at which they arrived."""

import errno
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from app.sources.address import redact
from app.sources.arrival import ArrivalClock
from app.sources.faults import diagnose
from app.sources.key_frames import KeyFrameGate
from app.sources.reading import Reading
from app.sources.rgb_converter import RgbConverter
from app.sources.sound_decoder import SoundDecoder
from app.sources.video import ticks_of, video_stream
from app.stream.frames import Frame
from app.stream.sound import SoundBuffer
from app.stream_errors import Fault, SourceError

OPEN_SECONDS = 10.0
READ_SECONDS = 5.0
_MAX_FPS = 240.0

# Motion JPEG carries no timestamps; FFmpeg makes them up from a nominal rate. The time of arrival is nearer the truth.
_WITHOUT_CLOCK = frozenset({"mjpeg", "mpjpeg"})


class LiveSource:
    """The pictures of a live PyAV container. The first one is decoded at once, so that errors show early.

    Pictures before the first key frame and after damage, up to the next key frame, are left out and counted.

    Attributes:
        details: size, codec and rate, such as "1280x720 h264 30 fps".
        sound: what comes beside the pictures, if it is wanted; on their clock.
    """

    is_live = True
    frame_count: int | None = None

    def __init__(self, container: InputContainer, address: str, strict: bool = False, with_sound: bool = False) -> None:
        """Take over `container`.

        Args:
            container: just opened; closed by this source, also when this raises.
            address: of the stream, with its password.
            strict: the decoder gives up a picture in which it finds an error, instead of guessing the damaged part.
            with_sound: decode the sound, too.

        Raises:
            SourceError: there is no video in it, or not one picture can be decoded.
        """
        self.source_id = redact(address)
        self._address, self._container = address, container
        self._reading = Reading(container.close)
        self._gate, self._converter = KeyFrameGate(), RgbConverter()
        self._sound_decoder = SoundDecoder(container) if with_sound else None
        self.sound = self._sound_decoder.sound if self._sound_decoder is not None else SoundBuffer()
        try:
            self._stream = video_stream(container, self.source_id)
            _decode_at_once(self._stream, strict)
            self._has_clock = container.format.name not in _WITHOUT_CLOCK
            self.time_base = ticks_of(self._stream) if self._has_clock else Fraction(1, 1_000_000)
            self._clock = ArrivalClock(self.time_base)
            self._frames = self._read()
            self._first = next(self._frames)
        except BaseException:  # Ctrl-C, too, must leave no connection open
            container.close()
            raise
        height, width = self._first.image.shape[:2]
        rate = float(self._stream.average_rate or 0)  # as the stream's header says, which may be nonsense
        self.frame_hw = (height, width)
        self.frame_rate = rate if 0 < rate <= _MAX_FPS else None
        fps = f" {rate:.4g} fps" if self.frame_rate else ""
        self.details = f"{width}x{height} {self._stream.codec_context.name}{fps}"

    @property
    def corrupt(self) -> int:
        """How many pictures were left out because they are damaged, or refer to one that is.

        Those that FFmpeg's decoder keeps for itself are not among them.
        """
        return self._gate.hidden

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            SourceError: always at last, as a live stream has no end of its own: the sender ended it, the connection
                broke, or nothing readable came for a while.
        """
        with self._reading:
            for frame in chain([self._first], self._frames):
                if self._reading.is_closed:
                    return
                yield frame

    def close(self) -> None:
        """Stop. A thread that is reading stops at its next packet and releases the container itself."""
        self._reading.close()

    def _read(self) -> Iterator[Frame]:
        index = 0
        shown_at = time.monotonic()
        for packet, arrived_at in self._packets():
            for picture in self._decoded(packet):
                if self._gate.passes(picture):
                    yield self._frame(picture, arrived_at, index)
                    index += 1
                    shown_at = time.monotonic()
            if time.monotonic() - shown_at > OPEN_SECONDS:
                raise SourceError(
                    f"{self.source_id} has sent no readable picture for {OPEN_SECONDS:.0f} s",
                    Fault.TIMED_OUT,
                    f"no readable picture for {OPEN_SECONDS:.0f} s",
                )

    def _packets(self) -> "Iterator[tuple[Packet[Any], float]]":
        """Yield the packets of the video, and when each arrived; raise SourceError at the end.

        When a read takes too long FFmpeg first hands out the packet that its parser held back, as if all were well, and
        would then wait as long again: hence the clock. Packets of other streams do not count as a sign of life.
        """
        asked_at = time.monotonic()
        try:
            for packet in self._container.demux():
                if self._reading.is_closed:
                    return
                now = time.monotonic()
                if packet.stream is self._stream:
                    yield packet, now
                elif self._sound_decoder is not None:
                    self._sound_decoder.decode(packet)
                if now - asked_at >= READ_SECONDS:
                    raise av.TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                if packet.stream is self._stream:
                    asked_at = time.monotonic()
        except av.FFmpegError as error:
            fault, reason = diagnose(error, self._address, time.monotonic() - asked_at, READ_SECONDS)
            raise SourceError(f"lost {self.source_id}: {reason}", fault, reason) from None
        reason = "the sender ended the stream"
        raise SourceError(f"lost {self.source_id}: {reason}", Fault.LOST, reason)

    def _decoded(self, packet: "Packet[Any]") -> list[VideoFrame]:
        if packet.is_corrupt:
            self._gate.close()
        try:
            return self._stream.decode(packet)
        except av.InvalidDataError:
            self._gate.close()
            self._gate.hidden += 1
            return []

    def _frame(self, picture: VideoFrame, arrived_at: float, index: int) -> Frame:
        if picture.pts is None or not self._has_clock:
            pts, captured_at = self._clock.ticks_at(arrived_at), arrived_at
        else:
            pts, captured_at = picture.pts, self._clock.sent_at(picture.pts, arrived_at)
        return Frame(self._converter.lazy(picture), pts, self.time_base, captured_at, self.source_id, index)


def _decode_at_once(stream: VideoStream, strict: bool) -> None:
    """Let the decoder hold back no picture, and flag damaged ones: of H.264, it flags them in one thread only."""
    context = stream.codec_context
    context.flags |= Flags.low_delay
    if not context.is_hwaccel:
        context.thread_count = 1
    if strict:
        context.options = {"err_detect": "explode"}
