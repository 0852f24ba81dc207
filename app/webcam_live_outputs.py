"""Which live outputs `app.webcam` has, and what opens each: RTSP, RTMP, motion JPEG, a virtual camera, a pipe."""

import argparse
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.sources.address import redact, scheme_of
from app.stream_errors import SinkError

if TYPE_CHECKING:  # both import what takes long
    from app.stream.parts import Sink
    from app.webcam_outputs import Feed

CAMERA = "camera:"
PUSHED = ("rtsp", "rtsps", "rtmp", "rtmps")
MJPEG = "mjpeg"
KNOWN = "rtsp://HOST/PATH, rtmp://HOST/APP/KEY, mjpeg://HOST:PORT, camera: or camera:/dev/videoN"


def check_live_outputs(options: argparse.Namespace, source_count: int) -> None:
    """Find mistakes in `--output` and `--pipe`, as far as that can be done without a connection; raise SinkError."""
    for spec in options.output:
        scheme = scheme_of(spec)
        if scheme not in (*PUSHED, MJPEG) and not spec.startswith(CAMERA):
            raise SinkError(f"--output takes {KNOWN}, got {redact(spec)!r}")
        if scheme is not None and (not _host(spec) or (scheme == MJPEG and _port(spec) is None)):
            raise SinkError(f"--output must name where: {KNOWN}, got {redact(spec)!r}")
        if source_count > 1 and not (scheme in PUSHED and "{source}" in spec):
            raise SinkError(
                f"--output of several sources needs {{source}} in an rtsp:// or rtmp:// address: {redact(spec)}"
            )
    if options.pipe and source_count > 1:
        raise SinkError("--pipe is for one source, got several")


def open_live_outputs(options: argparse.Namespace, feed: "Feed") -> "list[Sink]":
    """Open the live outputs of a source.

    Raises:
        SinkError: nothing can listen at an address.
        MissingExtraError: a library is not installed.
    """
    sinks = [_open(spec, feed) for spec in options.output]
    if options.pipe:
        from app.sinks.raw_pipe import RawPipe

        sinks.append(RawPipe(feed.source.frame_rate))
    return sinks


def _open(spec: str, feed: "Feed") -> "Sink":
    scheme, rate = scheme_of(spec), feed.source.frame_rate
    if scheme in PUSHED:
        from app.sinks.network_video import NetworkVideo

        address = spec.replace("{source}", re.sub(r"[^\w.-]+", "_", feed.plan.name).strip("._") or "source")
        return NetworkVideo(address, redact(address), rate)
    if scheme == MJPEG:
        from app.sinks.mjpeg_server import MjpegServer

        return MjpegServer(_host(spec), _port(spec) or 0, feed.panel, feed.cover)
    from app.sinks.virtual_camera import VirtualCamera

    return VirtualCamera(spec.removeprefix(CAMERA) or None, rate)


def _host(spec: str) -> str:
    try:
        return urlsplit(spec).hostname or ""
    except ValueError:
        return ""


def _port(spec: str) -> int | None:
    try:
        return urlsplit(spec).port
    except ValueError:
        return None
