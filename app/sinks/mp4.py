"""An H.264 MP4 that is playable at every moment of its making."""

import contextlib
import errno
import os
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from app.sinks.audio import MAX_TICKS, Audio, movie_timescale
from app.sinks.encoder import THREADS, X264, Encoder
from app.stream.frames import Picture

VideoPacket: TypeAlias = "Packet[VideoStream]"

KEYFRAME_SECONDS = 2
MILLISECOND = Fraction(1, 1000)
MAX_SIDE_PX = 16384
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
    plays before it is wholly loaded.

    A timestamp that does not come after the one before it is moved to one tick after that; where the clock jumps back
    by more than a second, or forth by more than an MP4 can state, the next frame follows the one before it. A clock
    that starts before zero, or later than an MP4 can state, starts at zero.
    """

    def __init__(
        self,
        path: Path,
        size_hw: tuple[int, int],
        time_base: Fraction,
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
        self._size_hw = size_hw = _encodable(size_hw)
        self._rate = frame_rate or FALLBACK_RATE
        self._container = av.open(str(self.path), "w", format="mp4", options=FRAGMENTED)
        stream = self._container.add_stream(encoder.name, rate=self._rate, options=dict(encoder.options))
        self._stream = cast("VideoStream", stream)
        height, width = size_hw
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = time_base
        self._stream.codec_context.gop_size = max(1, round(KEYFRAME_SECONDS * self._rate))
        self._stream.codec_context.thread_count = THREADS
        self._last_pts: int | None = None
        self._shift = self._first_shift = -origin_pts
        self._audio = audio
        self._reformatter = VideoReformatter()
        scale = _muxer_scale(time_base)
        self._max_gap, self._max_start = MAX_TICKS // scale, MAX_START_TICKS // scale
        self._held: VideoPacket | None = None  # until the next one tells how long it lasts

    def add(self, picture: Picture, pts: int) -> None:
        """Encode `picture` for the moment `pts`; one of another size is scaled to fit, with black bars."""
        even = np.ascontiguousarray(_even(_letterbox(picture, self._size_hw)))
        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(even, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
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
        _check_whole(self.path, last_box=b"mfra")
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
            _drop_cut_fragment(self.path)

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
    """Copy the packets of `path` into a plain MP4 with its index in front, and put that in its place."""
    finished = path.with_name(f".{path.stem}.finished.mp4")
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
            with av.open(os.path.abspath(finished), "w", format="mp4", options=options) as target:
                stream = target.add_stream_from_template(fragments)
                stream.time_base = time_base
                packets = _for_stream(source.demux(fragments), stream)
                if audio is not None and sound is not None:
                    packets = audio.beside(packets, sound, target, audio_shift_seconds)
                for packet in packets:
                    target.mux(packet)
        _check_whole(finished, last_box=b"mdat")
        finished.replace(path)
    finally:
        finished.unlink(missing_ok=True)


def _for_stream(packets: Iterable[VideoPacket], stream: VideoStream) -> Iterator[VideoPacket]:
    for packet in packets:
        if packet.dts is not None:
            packet.stream = stream
            yield packet


def _check_whole(path: Path, last_box: bytes) -> None:
    """Raise OSError unless `path` ends with a whole `last_box`: when the last write fails, FFmpeg does not tell."""
    boxes = _whole_boxes(path)
    if not boxes or boxes[-1] != (last_box, path.stat().st_size):
        raise OSError(errno.EIO, "its end could not be written; the disk may be full")


def _drop_cut_fragment(path: Path) -> None:
    """Cut `path` off behind its last whole fragment."""
    os.truncate(path, max((end for name, end in _whole_boxes(path) if name in (b"moov", b"mdat")), default=0))


def _whole_boxes(path: Path) -> list[tuple[bytes, int]]:
    """Name and end of the boxes in the row that an MP4 is, but not of a cut one: four bytes of length, four of name.

    A length of 1 says that the true one, of more than 4 GiB, stands in the eight bytes after the name.
    """
    size = path.stat().st_size
    boxes: list[tuple[bytes, int]] = []
    end = 0
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", header)
            if length == 1 and len(wide := file.read(8)) == 8:
                length = struct.unpack(">Q", wide)[0]
            end += length
            if length < len(header) or end > size:
                break
            boxes.append((name, end))
            file.seek(end)
    return boxes


def _encodable(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the size, scaled down to `MAX_SIDE_PX` where a side is longer."""
    scale = min(1.0, MAX_SIDE_PX / max(size_hw))
    height, width = (max(1, round(side * scale)) for side in size_hw)
    return height, width


def _muxer_scale(time_base: Fraction) -> int:
    """By how much FFmpeg's MP4 muxer multiplies timestamps: it doubles a track's clock up to 10,000 ticks a second."""
    scale = time_base.numerator
    while time_base.denominator * scale < MIN_TRACK_CLOCK * time_base.numerator:
        scale *= 2
    return scale


def _letterbox(picture: Picture, size_hw: tuple[int, int]) -> Picture:
    """Scale `picture` to fit into `size_hw`, in the middle of black, unless it has that size."""
    if picture.shape[:2] == size_hw:
        return picture
    height, width = size_hw
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner_wh = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    inner = cv2.resize(picture, inner_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (height - inner_wh[1]) // 2, (width - inner_wh[0]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_wh[1], left : left + inner_wh[0]] = inner
    return canvas


def _even(picture: Picture) -> Picture:
    """Repeat the last row and the last column where their number is odd, as 4:2:0 video wants."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
