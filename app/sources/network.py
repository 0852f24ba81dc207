"""Network streams: cameras over RTSP and the like, HTTP streams, and videos that lie on a web server."""

import errno
import os
import time
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from app.sources.address import redact, scheme_of
from app.sources.decoding import every_picture
from app.sources.video import VideoSource, ticks_of
from app.stream_errors import SourceError

OPEN_SECONDS = 10.0
READ_SECONDS = 5.0

_LIVE_SCHEMES = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})
_LIVE_OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer+discardcorrupt"}

_PICTURE_FORMATS = "_pipe"  # such as "png_pipe", as FFmpeg calls one picture that it cannot seek in

# Motion JPEG carries no timestamps; FFmpeg makes them up from a nominal rate. The time of arrival is nearer the truth.
_WITHOUT_CLOCK = frozenset({"mjpeg", "mpjpeg"})


_FROM_ONE_HOST = {
    "max_redirects": "0",
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,gif,mjpeg,mpjpeg,h264,hevc,rtsp,rtp,"
    "bmp_pipe,gif_pipe,jpeg_pipe,png_pipe,tiff_pipe,webp_pipe",
}
"""What keeps FFmpeg from being sent elsewhere by what it reads: no redirects, no playlists. RTSP's redirects it follows
all the same."""


def open_network(address: str, from_one_host: bool = False) -> VideoSource:
    """Open a stream by its address.

    Cameras' protocols are live. With any other, a picture, or a video whose length is known, is a file, of which every
    frame counts.

    Args:
        address: what is read.
        from_one_host: follow neither redirects nor playlists; those of RTSP alone cannot be refused.

    Raises:
        SourceError: it cannot be reached, or sends no video. Its text holds no password, so its cause is left out too.
    """
    name = redact(address)
    is_live = scheme_of(address) in _LIVE_SCHEMES
    options = (_LIVE_OPTIONS if is_live else {}) | (_FROM_ONE_HOST if from_one_host else {})
    try:
        container = av.open(address, options=options, timeout=(OPEN_SECONDS, READ_SECONDS))
    except av.FFmpegError as error:
        refused = " (redirects and playlists are not followed here)" if from_one_host else ""
        raise SourceError(f"could not open {name}: {_reason(error, OPEN_SECONDS)}{refused}") from None
    except ValueError as error:
        raise SourceError(f"could not open {name}: {redact(str(error))}") from None
    if is_live or (container.duration is None and not container.format.name.endswith(_PICTURE_FORMATS)):
        return VideoSource(container, name, live_pictures, is_live=True)
    return VideoSource(container, name, every_picture, is_live=False)


def live_pictures(container: InputContainer, stream: VideoStream, name: str) -> Iterator[VideoFrame]:
    """Decode a live stream from its first key frame on; what cannot be decoded is skipped.

    Raises:
        SourceError: always at last, as a live stream has no end of its own: the sender ended it, the connection broke,
            or no readable picture came for `OPEN_SECONDS`.
    """
    stream.codec_context.flags |= Flags.low_delay
    tick = Fraction(1, 1_000_000) if container.format.name in _WITHOUT_CLOCK else ticks_of(stream)
    has_begun = False
    last_pts, last_at = 0, time.monotonic()
    waiting_since = last_at
    try:
        for packet in packets_in_time(container, stream):
            for picture in _decoded(stream, packet):
                has_begun = has_begun or picture.key_frame
                if has_begun:
                    now = time.monotonic()
                    if picture.pts is None or container.format.name in _WITHOUT_CLOCK:
                        picture.pts = last_pts + round((now - last_at) / tick)
                    picture.time_base = tick
                    last_pts, last_at = picture.pts, now
                    yield picture
                    waiting_since = time.monotonic()
            if time.monotonic() - waiting_since > OPEN_SECONDS:
                raise SourceError(f"{name} has sent no readable picture for {OPEN_SECONDS:.0f} s")
    except av.FFmpegError as error:
        raise SourceError(f"lost {name}: {_reason(error, READ_SECONDS)}") from None
    raise SourceError(f"lost {name}: the sender ended the stream")


def packets_in_time(container: InputContainer, stream: VideoStream) -> "Iterator[av.Packet[VideoStream]]":
    """Yield the stream's packets until none comes for `READ_SECONDS`.

    When a read takes too long FFmpeg first hands out the packet that its parser held back, as if all were well, and
    would then wait as long again: hence the clock.

    Raises:
        av.FFmpegError: the connection broke, or nothing came in time.
    """
    asked_at = time.monotonic()
    for packet in container.demux(stream):
        is_late = time.monotonic() - asked_at >= READ_SECONDS
        yield packet
        if is_late:
            raise av.TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        asked_at = time.monotonic()


def _decoded(stream: VideoStream, packet: "av.Packet[VideoStream]") -> list[VideoFrame]:
    try:
        return stream.decode(packet)
    except av.InvalidDataError:
        return []


def _reason(error: av.FFmpegError, waited_seconds: float) -> str:
    """What went wrong, in words without the address; PyAV reports a read that took too long as an exit."""
    if isinstance(error, av.ExitError | av.TimeoutError):
        return f"nothing came for {waited_seconds:.0f} s"
    return str(error.strerror)
