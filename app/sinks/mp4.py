"""An H.264 MP4 that is playable at every moment of its making."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
from av.packet import Packet
from av.video.stream import VideoStream

from app.sinks.audio import MAX_TICKS, Audio, movie_timescale
from app.sinks.encoder import THREADS, X264, Encoder
from app.sinks.mp4_boxes import check_whole, drop_cut_fragment
from app.sinks.yuv import YuvConverter
from app.stream.frames import Picture

VideoPacket: TypeAlias = "Packet[VideoStream]"

KEYFRAME_SECONDS = 2
MATROSKA = ".mkv"
MILLISECOND = Fraction(1, 1000)
MIN_TRACK_CLOCK = 10_000
MAX_START_TICKS = 2**47  # of the first timestamp; FFmpeg multiplies it by other time bases in 64 bits
FALLBACK_RATE = Fraction(30)  # for the key frames' distance and the last frame's duration alone, never for a timestamp
FRAGMENTED = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",  # discont: keep the first timestamp
    "frag_duration": "1000000",  # us: where key frames are rare, as the nominal rate may be far too high
    "avoid_negative_ts": "make_non_negative",
    "flush_packets": "1",
}


class Mp4Writer:
    """Encodes pictures into `path`, each with the timestamp it came with.

    While it runs the file is a fragmented MP4: whatever ends the process, all but the last second and the few
    pictures that the encoder holds can be played. `close` then rewrites it, without encoding again, as a plain MP4 that
    plays before it is wholly loaded; or as Matroska where the name ends in .mkv.

    A timestamp that does not come after the one before it is moved to one tick after that; where the clock jumps back
    by more than a second, or forth by more than an MP4 can state, the next frame follows the one before it. A clock
    that starts before zero, or later than an MP4 can state, starts at zero.
    """

    def __init__(
        self,
        path: Path,
        size_hw: tuple[int, int],
        time_base: Fraction,
        *,
        frame_rate: Fraction | None = None,
        origin_pts: int = 0,
        audio: Audio | None = None,
        encoder: Encoder = X264,
    ) -> None:
        """Create the file.

        Args:
            path: overwritten.
            size_hw: of the pictures. An odd one is made even by repeating the last row or column; one with a side of
                more than `MAX_SIDE_PX` is scaled down, as H.264's encoders take no larger ones.
            time_base: seconds per tick of the timestamps.
            frame_rate: nominal frames per second, None where unknown.
            origin_pts: the timestamp that becomes 0.
            audio: copied by `close`, at its distance to the pictures.
            encoder: of H.264.

        Raises:
            OSError, av.FFmpegError: the file cannot be created, or the encoder cannot take the size.
        """
        self.path = Path(os.path.realpath(path))  # a link stays one
        self.time_base = time_base
        self._converter = YuvConverter(size_hw)
        self._rate = frame_rate or FALLBACK_RATE
        self._container = av.open(str(self.path), "w", format="mp4", options=FRAGMENTED)
        stream = self._container.add_stream(encoder.name, rate=self._rate, options=dict(encoder.options))
        self._stream = cast("VideoStream", stream)
        self._stream.height, self._stream.width = self._converter.even_hw
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = time_base
        self._stream.codec_context.gop_size = max(1, round(KEYFRAME_SECONDS * self._rate))
        self._stream.codec_context.thread_count = THREADS
        self._last_pts: int | None = None
        self._shift = self._first_shift = -origin_pts
        self._audio = audio
        scale = _muxer_scale(time_base)
        self._max_gap, self._max_start = MAX_TICKS // scale, MAX_START_TICKS // scale
        self._held: VideoPacket | None = None  # until the next one tells how long it lasts

    def add(self, picture: Picture, pts: int) -> None:
        """Encode `picture` for the moment `pts`; one of another size is scaled to fit, with black bars."""
        frame = self._converter.convert(picture)
        frame.pts, frame.time_base = self._place(pts), self.time_base
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds and turn the file into a plain MP4; if that fails, it stays fragmented.

        Audio that cannot be copied is left out, and `audio.left_out` says why.

        Raises:
            OSError: the end of the file could not be written, or the disk has no room for the audio.
            av.FFmpegError: the encoder failed.
        """
        try:
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._held.duration = self._nominal_ticks()
                self._container.mux(self._held)
        finally:
            self._container.close()
        check_whole(self.path, last_box=b"mfra")
        if self._audio is not None and self._last_pts is not None:
            end_ticks = self._last_pts + self._nominal_ticks() - self._first_shift
            self._audio.pictures_end(float(end_ticks * self.time_base))
        try:
            _rewrite(self.path, self._audio, float(self._first_shift * self.time_base))
        except OSError:
            if self._audio is not None:
                raise
        except av.FFmpegError as error:  # not the disk's
            if self._audio is not None:
                self._audio.left_out.append(f"the audio could not be copied ({error.strerror})")
                with contextlib.suppress(OSError, av.FFmpegError):
                    _rewrite(self.path, None, 0.0)

    def abandon(self) -> None:
        """Release the file after a failure, such as a full disk; it ends with the last fragment that is whole."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()
        with contextlib.suppress(OSError):
            drop_cut_fragment(self.path)

    def _place(self, pts: int) -> int:
        """Return the timestamp at which the file can hold a picture of `pts`."""
        pts += self._shift
        if self._last_pts is None:
            shift = 0 if 0 <= pts <= self._max_start else -pts
            self._first_shift += shift
        elif pts <= self._last_pts:
            is_jump = (self._last_pts - pts) * self.time_base > 1
            shift = self._last_pts + self._nominal_ticks() - pts if is_jump else 0
            pts = self._last_pts + 1 - shift
        else:
            is_jump = pts - self._last_pts > self._max_gap
            shift = self._last_pts + self._nominal_ticks() - pts if is_jump else 0
        self._shift += shift
        self._last_pts = pts + shift
        return self._last_pts

    def _mux(self, packets: list[VideoPacket]) -> None:
        for packet in packets:
            if self._held is not None:
                self._held.duration = _ticks(packet) - _ticks(self._held)
                self._container.mux(self._held)
            self._held = packet

    def _nominal_ticks(self) -> int:
        return max(1, round(1 / self._rate / self.time_base))


def _ticks(packet: VideoPacket) -> int:
    """The packet's timestamp, which an encoder always sets."""
    return packet.pts or 0


def _rewrite(path: Path, audio: Audio | None, audio_shift_seconds: float) -> None:
    """Copy the packets of `path` into a plain MP4 with its index in front, or a Matroska file, in its place."""
    is_matroska = path.suffix.lower() == MATROSKA
    finished = path.with_name(f".{path.stem}.finished{path.suffix}")
    try:
        with contextlib.ExitStack() as opened:
            source = opened.enter_context(av.open(os.path.abspath(path), metadata_errors="replace"))
            sound = None if audio is None else audio.open()
            if sound is not None:
                opened.enter_context(sound)
            fragments = source.streams.video[0]
            time_base = fragments.time_base or MILLISECOND
            # First timestamps are stored in ticks of the movie, not the track: those are milliseconds unless told.
            timescale = movie_timescale(time_base, sound)
            options = {"movflags": "+faststart", "movie_timescale": str(timescale)}
            if is_matroska:
                options = {"avoid_negative_ts": "disabled"}  # as of AAC, which begins before the pictures do
            name = "matroska" if is_matroska else "mp4"
            with av.open(os.path.abspath(finished), "w", format=name, options=options) as target:
                stream = target.add_stream_from_template(fragments)
                stream.time_base = time_base
                packets = _for_stream(source.demux(fragments), stream)
                if audio is not None and sound is not None:
                    packets = audio.beside(packets, sound, target, audio_shift_seconds)
                for packet in packets:
                    target.mux(packet)
        if not is_matroska:
            check_whole(finished, last_box=b"mdat")
        finished.replace(path)
    finally:
        finished.unlink(missing_ok=True)


def _for_stream(packets: Iterable[VideoPacket], stream: VideoStream) -> Iterator[VideoPacket]:
    for packet in packets:
        if packet.dts is not None:
            packet.stream = stream
            yield packet


def _muxer_scale(time_base: Fraction) -> int:
    """By how much FFmpeg's MP4 muxer multiplies timestamps: it doubles a track's clock up to 10,000 ticks a second."""
    scale = time_base.numerator
    while time_base.denominator * scale < MIN_TRACK_CLOCK * time_base.numerator:
        scale *= 2
    return scale
