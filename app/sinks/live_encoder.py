"""Encodes a live recording into packets that wait in memory until somebody writes them into a file, or not at all."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeAlias, cast

import av
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from app.sinks.encoder import THREADS, X264, Encoder
from app.sinks.yuv import YuvConverter
from app.stream.frames import Picture
from app.stream.sound import SOUND_RATE, Sound

AnyPacket: TypeAlias = "Packet[Any]"

TICK = Fraction(1, 1_000_000)  # of the pictures' timestamps
FALLBACK_RATE = Fraction(30)
MAX_GROUP = 1000  # pictures; key frames come by time, long before that
SOUND_BITS = 128_000  # per second
MAX_SHIFT_SECONDS = 0.1  # between where a piece of sound should begin and where it does


class LiveEncoder:
    """Turns pictures into H.264, and sound into AAC.

    Attributes:
        video, audio: what a file's streams are made like; see `OutputContainer.add_stream_from_template`.
        picture_seconds: how long a picture lasts, nominally.
    """

    def __init__(
        self, size_hw: tuple[int, int], frame_rate: float | None, key_seconds: float, encoder: Encoder = X264
    ) -> None:
        """Open the encoders.

        Args:
            size_hw: of the pictures; see `YuvConverter`.
            frame_rate: nominal frames per second, None where unknown.
            key_seconds: the longest time between two key frames.
            encoder: of H.264; if it fails, x264 takes its place.

        Raises:
            av.FFmpegError: x264 does not take the size.
        """
        self._converter = YuvConverter(size_hw)
        rate = Fraction(frame_rate).limit_denominator(1001) if frame_rate else FALLBACK_RATE
        self.picture_seconds = float(1 / rate)
        try:
            self._open(encoder, rate)
        except (av.FFmpegError, ValueError):  # such as more sessions at once than an NVIDIA device allows
            if encoder is X264:
                raise
            self._open(X264, rate)
        self._key_ticks = round(key_seconds / TICK)
        self._last_key = self._last_ticks = -1
        self._samples = np.zeros((2, 0), np.float32)
        self._sound_ticks: int | None = None  # of the first of these samples

    def picture(self, picture: Picture, ticks: int, is_key: bool = False) -> Sequence[AnyPacket]:
        """Encode `picture` and return the packets that are ready; one of another size is scaled to fit.

        Args:
            picture: (H, W, 3) uint8 RGB.
            ticks: its timestamp, moved to one tick after the one before if it does not come after that.
            is_key: let a file be able to begin with it.
        """
        frame = self._converter.convert(picture)
        ticks = max(ticks, self._last_ticks + 1)
        frame.pts, frame.time_base = ticks, TICK
        if is_key or self._last_key < 0 or ticks - self._last_key >= self._key_ticks:
            frame.pict_type = PictureType.I
            self._last_key = ticks
        self._last_ticks = ticks
        return self.video.encode(frame)

    def sound(self, sound: Sound) -> Sequence[AnyPacket]:
        """Encode a piece of sound and return the packets that are ready; sound after a gap keeps its own time."""
        ticks = round(sound.seconds * SOUND_RATE)
        if self._sound_ticks is not None:
            shift = ticks - self._sound_ticks - self._samples.shape[1]
            if abs(shift) <= MAX_SHIFT_SECONDS * SOUND_RATE:
                ticks = self._sound_ticks
            elif shift < 0:  # it was there already
                return []
            else:
                self._samples = self._samples[:, :0]
        self._sound_ticks = ticks
        self._samples = np.concatenate([self._samples, sound.samples], axis=1)
        return self._encode_samples()

    def flush(self) -> Sequence[AnyPacket]:
        """Return the packets of the pictures that the encoder still holds; nothing can be encoded after that."""
        return self.video.encode(None)

    def _encode_samples(self) -> list[AnyPacket]:
        packets: list[AnyPacket] = []
        size = self.audio.codec_context.frame_size
        while self._samples.shape[1] >= size and self._sound_ticks is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(self._samples[:, :size]), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._sound_ticks, Fraction(1, SOUND_RATE)
            packets += self.audio.encode(frame)
            self._samples = self._samples[:, size:]
            self._sound_ticks += size
        return packets

    def _open(self, encoder: Encoder, rate: Fraction) -> None:
        """Open the encoders as of a file that is never written: PyAV has no other way to describe their streams."""
        self._container = av.open(io.BytesIO(), "w", format="mp4")
        options = dict(encoder.options) | ({} if encoder is X264 else {"forced-idr": "1"})
        video = cast("VideoStream", self._container.add_stream(encoder.name, rate=rate, options=options))
        video.height, video.width = self._converter.even_hw
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = TICK
        video.codec_context.gop_size = MAX_GROUP
        video.codec_context.thread_count = THREADS
        audio = self._container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        audio.codec_context.bit_rate = SOUND_BITS
        self._container.start_encoding()
        self.video, self.audio = video, audio


def seconds_of(packet: AnyPacket) -> float:
    """Presentation time of a packet."""
    return float((packet.pts or 0) * packet.time_base)


def is_video(packet: AnyPacket) -> bool:
    """Whether a packet is a picture."""
    return bool(packet.stream.type == "video")
