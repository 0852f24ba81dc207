"""The sound of a live container, decoded as it arrives."""

from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from app.stream.sound import SOUND_RATE, Sound, SoundBuffer


class SoundDecoder:
    """Decodes the first audio stream of a container into one format.

    Attributes:
        sound: what was decoded. Damaged packets are left out.
    """

    def __init__(self, container: InputContainer) -> None:
        """Look for an audio stream; without one nothing is ever decoded."""
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        self._stream: AudioStream | None = streams[0] if streams else None
        self._resampler = AudioResampler("fltp", "stereo", SOUND_RATE)
        self._end_seconds = 0.0
        self.sound = SoundBuffer(self._stream is not None)

    def decode(self, packet: "Packet[Any]") -> None:
        """Take a packet of any stream; those of other streams are left alone."""
        if self._stream is None or packet.stream is not self._stream:
            return
        try:
            for frame in self._stream.decode(packet):
                seconds = _seconds_of(frame, self._end_seconds)
                frame.pts = None  # the resampler would wait for what a gap leaves out
                for converted in self._resampler.resample(frame):
                    piece = Sound(np.asarray(converted.to_ndarray(), np.float32), seconds)
                    self._end_seconds = seconds = piece.end_seconds
                    self.sound.put(piece)
        except (av.FFmpegError, ValueError):  # a format that changes in the middle, too
            self._resampler = AudioResampler("fltp", "stereo", SOUND_RATE)


def _seconds_of(frame: AudioFrame, expected_seconds: float) -> float:
    if frame.pts is None or frame.time_base is None:
        return expected_seconds
    return float(frame.pts * frame.time_base)
