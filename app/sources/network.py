"""Network streams: cameras over RTSP and the like, HTTP streams, and videos that lie on a web server."""

import time
from collections.abc import Mapping
from typing import TypeAlias

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from app.sources import live
from app.sources.address import redact, scheme_of
from app.sources.decoding import every_picture
from app.sources.faults import diagnose
from app.sources.hardware import find_hardware
from app.sources.live import LiveSource
from app.sources.source_settings import DEFAULTS, SourceSettings
from app.sources.video import VideoSource
from app.stream_errors import Fault, SourceError
from solov2.pixel_limit import decoder_options

NetworkSource: TypeAlias = LiveSource | VideoSource

LIVE_SCHEMES = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})

_LIVE_OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "discardcorrupt",
    "probesize": "50000",
    "analyzeduration": "500000",
    "fpsprobesize": "0",
}
"""What lets a live stream begin at once. FFmpeg would look at five seconds of it first; and with `nobuffer` it throws
away the packets it looked at, the first key frame among them."""

_PICTURE_FORMATS = "_pipe"  # such as "png_pipe", as FFmpeg calls one picture that it cannot seek in

_FROM_ONE_HOST = {
    "max_redirects": "0",
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,gif,mjpeg,mpjpeg,h264,hevc,rtsp,rtp,"
    "bmp_pipe,gif_pipe,jpeg_pipe,png_pipe,tiff_pipe,webp_pipe",
}
"""What keeps FFmpeg from being sent elsewhere by what it reads: no redirects, no playlists. RTSP's redirects it follows
all the same."""


def open_network(address: str, from_one_host: bool = False, settings: SourceSettings = DEFAULTS) -> NetworkSource:
    """Open a stream by its address.

    Cameras' protocols are live. With any other, a picture, or a video whose length is known, is a file, of which every
    frame counts.

    Args:
        address: what is read.
        from_one_host: follow neither redirects nor playlists; those of RTSP alone cannot be refused.
        settings: how it is opened.

    Raises:
        SourceError: it cannot be reached, or sends no video. Its text holds no password, so its cause is left out too.
    """
    is_live = scheme_of(address) in LIVE_SCHEMES
    options = dict(_LIVE_OPTIONS, rtsp_transport=settings.rtsp_transport) if is_live else {}
    options |= (_FROM_ONE_HOST if from_one_host else {}) | decoder_options()
    hardware = find_hardware() if settings.uses_gpu else None
    if hardware is not None:
        try:
            return _open(address, options, hardware, settings.with_sound)
        except SourceError as error:
            if error.fault not in (Fault.NOT_VIDEO, Fault.UNSUPPORTED, Fault.TIMED_OUT):
                raise
    return _open(address, options, None, settings.with_sound)


def _open(address: str, options: Mapping[str, str], hardware: HWAccel | None, with_sound: bool) -> NetworkSource:
    container = _connect(address, options, hardware)
    if scheme_of(address) not in LIVE_SCHEMES and _is_file(container):
        return VideoSource(container, redact(address), every_picture, is_live=False)
    if not _needs_strictness(container):
        return LiveSource(container, address, with_sound=with_sound)
    try:
        return LiveSource(container, address, strict=True, with_sound=with_sound)
    except SourceError as error:
        if error.fault is not Fault.TIMED_OUT:
            raise
    return LiveSource(_connect(address, options, hardware), address, with_sound=with_sound)


def _connect(address: str, options: Mapping[str, str], hardware: HWAccel | None) -> InputContainer:
    started = time.monotonic()
    try:
        timeouts = (live.OPEN_SECONDS, live.READ_SECONDS)
        return av.open(address, options=dict(options), timeout=timeouts, hwaccel=hardware, metadata_errors="replace")
    except av.FFmpegError as error:
        fault, reason = diagnose(error, address, time.monotonic() - started, live.OPEN_SECONDS)
    except ValueError:  # its text may hold the address
        fault, reason = Fault.OTHER, "it cannot be used as an address"
    hint = " (redirects and playlists are not followed here)" if "max_redirects" in options else ""
    raise SourceError(f"could not open {redact(address)}: {reason}{hint}", fault, reason) from None


def _is_file(container: InputContainer) -> bool:
    return container.duration is not None or container.format.name.endswith(_PICTURE_FORMATS)


def _needs_strictness(container: InputContainer) -> bool:
    """Whether the decoder guesses at pictures that are missing, and does not tell, unless it is told to be strict."""
    return any(
        stream.codec_context is not None and stream.codec_context.name == "hevc" for stream in container.streams.video
    )
