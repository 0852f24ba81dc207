"""Pictures to an RTSP or RTMP server, as H.264, by FFmpeg's muxers in PyAV."""

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from app.sinks.live_output import LiveOutput, OutputError
from app.stream.frames import Picture, Result

FORMATS = {"rtsp": "rtsp", "rtsps": "rtsp", "rtmp": "flv", "rtmps": "flv"}
TICK = Fraction(1, 1000)  # FLV has no finer one
CONNECT_SECONDS = 5.0
DEFAULT_RATE = 30
ENCODER = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "bf": "0"}
KEY_FRAME_SECONDS = 2
RTSP = {"rtsp_transport": "tcp"}
RTMP = {"rw_timeout": str(int(1e6 * CONNECT_SECONDS)), "flvflags": "no_duration_filesize"}


class NetworkVideo(LiveOutput):
    """Publishes to a server that takes streams: `rtsp://HOST:PORT/PATH` (ANNOUNCE, RECORD) or `rtmp://HOST/APP/KEY`.

    Timestamps are those of the frames, from 0 on; without B-frames each picture leaves at once.
    """

    def __init__(
        self, address: str, name: str, frame_rate: float | None, tell: Callable[[str], None] | None = None
    ) -> None:
        """Connect with the first picture.

        Args:
            address: of the server.
            name: the same without any password.
            frame_rate: nominal frames per second, None where unknown.
            tell: see `LiveOutput`.
        """
        super().__init__(name, tell)
        self._address, self._rate = address, round(frame_rate or DEFAULT_RATE) or 1
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._origin_ms = self._last_ms = -1
        self._size_hw = (0, 0)

    def send(self, picture: Picture, result: Result) -> None:
        """Encode and send a picture; one of another size begins a new connection."""
        size = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        now_ms = round(result.frame.pts * result.frame.time_base / TICK)
        if self._container is not None and (size != self._size_hw or now_ms <= self._last_ms):
            self.disconnect()  # the source began again, or has another size now
        try:
            if self._container is None or self._stream is None:
                self._connect(size, now_ms)
            self._encode(picture[: size[0], : size[1]], now_ms)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(error.strerror or type(error).__name__) from error
        self._last_ms = now_ms

    def disconnect(self) -> None:
        """Send what waits in the encoder, and hang up."""
        container, stream, self._container, self._stream = self._container, self._stream, None, None
        if container is None:
            return
        with suppress(av.FFmpegError, OSError, ValueError):
            if stream is not None:
                container.mux(stream.encode(None))
        with suppress(av.FFmpegError, OSError, ValueError):
            container.close()

    def _connect(self, size: tuple[int, int], now_ms: int) -> None:
        kind = FORMATS[self._address.partition("://")[0].lower()]
        options = RTSP if kind == "rtsp" else RTMP
        self._container = av.open(self._address, "w", format=kind, options=options, timeout=CONNECT_SECONDS)
        added: Any = self._container.add_stream("libx264", rate=self._rate, options=ENCODER)
        stream = cast("VideoStream", added)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = TICK
        stream.codec_context.gop_size = KEY_FRAME_SECONDS * self._rate
        self._stream, self._origin_ms, self._size_hw = stream, now_ms, size
        self._container.start_encoding()

    def _encode(self, picture: Picture, now_ms: int) -> None:
        if self._container is None or self._stream is None:
            raise OutputError("no connection")
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = now_ms - self._origin_ms, TICK
        self._container.mux(self._stream.encode(frame))
