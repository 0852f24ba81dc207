"""The video file sink: an H.264 MP4 with the source's own timestamps, encoded in a thread of its own."""

import contextlib
import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from app.sinks.audio import Audio
from app.sinks.encoder import X264, find_encoder
from app.sinks.mp4 import Mp4Writer
from app.sinks.writable import check_video_path
from app.stream.channel import Cancelled, Channel
from app.stream.frames import Result
from app.stream_errors import SinkError

Picture = npt.NDArray[np.uint8]

WAITING_PICTURES = 4


class VideoSink:
    """Writes every picture into an MP4 file that browsers play; see `Mp4Writer` for what a crash leaves behind.

    An existing file is replaced when the first picture is written, not before. Without any picture there is no file.

    Attributes:
        encoder: of the pictures, once the first one was written.
    """

    needs_picture = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        frame_rate: float | None = None,
        start_at_zero: bool = False,
        audio: Audio | None = None,
        uses_gpu: bool = False,
    ) -> None:
        """Check that `path` can be written, and touch nothing yet.

        Args:
            path: ends in .mp4.
            frame_rate: nominal frames per second, None where unknown; timestamps do not depend on it.
            start_at_zero: let the first picture be at 0 seconds, as a live source's clock may have run for days. The
                others keep their distance to it.
            audio: copied beside the pictures at the end, where it was in its file; None is silent.
            uses_gpu: encode on the GPU if it can.

        Raises:
            SinkError: there is no such folder, or no file can be written there.
        """
        self.path = Path(path)
        check_video_path(self.path)
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001) if frame_rate else None
        self._start_at_zero, self._audio, self._uses_gpu = start_at_zero, audio, uses_gpu
        self.encoder = X264
        self._pictures: Channel[tuple[Result, Picture]] = Channel(WAITING_PICTURES)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._encode_all, name="encode", daemon=True)

    def write(self, result: Result, picture: Picture | None) -> None:
        """Hand `picture` to the encoder, waiting while it has enough; raise SinkError if it has failed before."""
        if picture is None:
            raise ValueError("a video file needs a picture, got None")
        if self._thread.ident is None:
            self._thread.start()
        with contextlib.suppress(Cancelled):  # by a failure
            self._pictures.put((result, picture))
        self._raise_failure()

    def idle(self) -> None:
        """Raise SinkError if the encoder has failed."""
        self._raise_failure()

    def close(self) -> None:
        """Finish the file; raise SinkError if that, or anything since the last `write`, failed."""
        self._pictures.finish()
        if self._thread.ident is not None:
            self._thread.join()
        self._raise_failure()

    def _encode_all(self) -> None:
        writer = None
        try:
            for result, picture in self._pictures:
                writer = writer or self._open(result, picture)
                writer.add(picture, round(result.frame.pts * result.frame.time_base / writer.time_base))
            if writer is not None:
                writer.close()
        except BaseException as error:
            if writer is not None:
                writer.abandon()
            self._failure = error
            self._pictures.cancel()

    def _open(self, result: Result, picture: Picture) -> Mp4Writer:
        origin_pts = result.frame.pts if self._start_at_zero else 0
        height, width = picture.shape[:2]
        self.encoder = find_encoder((height + height % 2, width + width % 2)) if self._uses_gpu else X264
        return Mp4Writer(
            self.path, (height, width), result.frame.time_base, self._frame_rate, origin_pts, self._audio, self.encoder
        )

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError | av.FFmpegError):
            reason = self._failure.strerror or str(self._failure)
            raise SinkError(
                f"could not write {self.path}: {reason}. What was written before stays playable; choose another place"
            ) from self._failure
        if self._failure is not None:
            raise self._failure
