"""What an error of FFmpeg says about a network stream: its kind, and a few words without the address."""

import errno
import socket
from urllib.parse import urlsplit

import av

from app.sources.address import scheme_of
from app.stream_errors import Fault

_RTSP_PORT = 554
_ANSWER_SECONDS = 2.0
_MARGIN_SECONDS = 0.2  # FFmpeg asks its clock about ten times a second

_BY_CLASS: tuple[tuple[type[av.FFmpegError], Fault, str], ...] = (
    (av.HTTPUnauthorizedError, Fault.AUTHENTICATION, "wrong or missing user name or password (401 Unauthorized)"),
    (av.HTTPForbiddenError, Fault.AUTHENTICATION, "access denied (403 Forbidden)"),
    (av.HTTPNotFoundError, Fault.NOT_FOUND, "the server has no such stream (404 Not Found)"),
    (av.HTTPServerError, Fault.OTHER, "the server reports an error of its own (5xx)"),
    (av.HTTPClientError, Fault.OTHER, "the server refuses the request (4xx)"),
    (av.ArgumentError, Fault.UNSUPPORTED, "it is not a valid address"),
    (av.ConnectionRefusedError, Fault.REFUSED, "connection refused"),
    (av.ConnectionResetError, Fault.LOST, "the server closed the connection"),
    (av.BrokenPipeError, Fault.LOST, "the server closed the connection"),
    (av.EOFError, Fault.LOST, "the server closed the connection"),
    (av.DecoderNotFoundError, Fault.UNSUPPORTED, "this build of FFmpeg has no decoder for its codec"),
)


def diagnose(error: av.FFmpegError, address: str, waited_seconds: float, limit_seconds: float) -> tuple[Fault, str]:
    """Return the kind of `error`, and the reason in words.

    FFmpeg reports a server that never answers as an exit, and over RTSP as invalid data; an unknown host as a failure
    of input and output.

    Args:
        error: raised while `address` was opened or read.
        address: with its password; it does not appear in the reason.
        waited_seconds: how long the call took.
        limit_seconds: how long it was allowed to take.
    """
    is_late = waited_seconds >= limit_seconds - _MARGIN_SECONDS
    if is_late or isinstance(error, av.ExitError | av.TimeoutError):
        return Fault.TIMED_OUT, f"nothing came for {limit_seconds:.0f} s"
    for known, fault, words in _BY_CLASS:
        if isinstance(error, known):
            return fault, words
    scheme = scheme_of(address) or ""
    if isinstance(error, av.ProtocolNotFoundError):
        return Fault.UNSUPPORTED, f"this build of FFmpeg has no protocol '{scheme}'"
    if isinstance(error, av.InvalidDataError):
        return _not_video(address, scheme)
    if isinstance(error, OSError) and not host_is_known(address):
        return Fault.UNKNOWN_HOST, "unknown host"
    if error.errno == errno.EIO:
        return Fault.OTHER, f"the server does not answer as '{scheme}' demands"
    return Fault.OTHER, str(error.strerror)


def host_is_known(address: str) -> bool:
    """Whether the host in `address` has an IP address; true where there is no host in it."""
    try:
        host = urlsplit(address).hostname
        return not host or bool(socket.getaddrinfo(host, None))
    except (OSError, ValueError):  # UnicodeError, too
        return False


def _not_video(address: str, scheme: str) -> tuple[Fault, str]:
    """Why FFmpeg found no video in what came; it does not tell a bad answer over RTSP from a closed connection."""
    if not scheme.startswith("rtsp"):
        return Fault.NOT_VIDEO, "what the server sends is not a video (a web page?)"
    answer = _first_answer(address)
    if answer is None or answer.startswith(b"RTSP/"):
        return Fault.LOST, "the server closed the connection"
    return Fault.NOT_VIDEO, "the server does not answer as an RTSP server does (a web page?)"


def _first_answer(address: str) -> bytes | None:
    """What the host answers to the shortest request of RTSP; None if it closes the connection, or says nothing."""
    try:
        parts = urlsplit(address)
        where = parts.hostname or "", parts.port or _RTSP_PORT
        with socket.create_connection(where, timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            return connection.recv(len(b"RTSP/")) or None
    except (OSError, ValueError):
        return None
