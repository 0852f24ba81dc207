"""The video file sink: H.264 in an MP4 or Matroska file, with the source's own timestamps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from app.sinks.audio import Audio
from app.sinks.encoder import X264, find_encoder
from app.sinks.mp4 import Mp4Writer
from app.sinks.recording_plan import RecordingPlan
from app.sinks.writable import check_video_path
from app.stream.frames import Picture, Result
from app.stream.parts import Sink
from app.stream_errors import DiskError, SinkError


class VideoSink(Sink):
    """Writes every picture into an MP4 file that browsers play, or a Matroska file.

    `Mp4Writer` says what a crash leaves behind.

    An existing file is replaced when the first picture is written, not before. Without any picture there is no file.

    Attributes:
        encoder: of the pictures, once the first one was written.
        audio: copied beside the pictures at the end; None is silent.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        frame_rate: float | None = None,
        start_at_zero: bool = False,
        audio: Audio | None = None,
        uses_gpu: bool = False,
        plan: RecordingPlan | None = None,
    ) -> None:
        """Check that `path` can be written, and touch nothing yet.

        Args:
            path: ends in .mp4 or .mkv.
            frame_rate: nominal frames per second, None where unknown; timestamps do not depend on it.
            start_at_zero: let the first picture be at 0 seconds, as a live source's clock may have run for days. The
                others keep their distance to it.
            audio: copied beside the pictures at the end, where it was in its file; None is silent.
            uses_gpu: encode on the GPU if it can.
            plan: says what is drawn; None draws all but the read-out.

        Raises:
            SinkError: there is no such folder, or no file can be written there.
        """
        self.path = Path(path)
        check_video_path(self.path)
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001) if frame_rate else None
        self._start_at_zero, self._uses_gpu, self.audio = start_at_zero, uses_gpu, audio
        self._plan = plan or RecordingPlan()
        self.encoder = X264
        self._writer: Mp4Writer | None = None
        self._failure: SinkError | None = None

    def write(self, result: Result) -> None:
        """Encode the picture; raise SinkError if that fails."""
        picture = self._plan.picture_of(result)
        with self._explained():
            self._writer = self._writer or self._open(result, picture)
            self._writer.add(picture, round(result.frame.pts * result.frame.time_base / self._writer.time_base))

    def close(self) -> None:
        """Finish the file; raise SinkError if that fails."""
        if self._writer is not None:
            with self._explained():
                self._writer.close()

    def _open(self, result: Result, picture: Picture) -> Mp4Writer:
        origin_pts = result.frame.pts if self._start_at_zero else 0
        height, width = picture.shape[:2]
        self.encoder = find_encoder((height + height % 2, width + width % 2)) if self._uses_gpu else X264
        return Mp4Writer(
            self.path,
            (height, width),
            result.frame.time_base,
            frame_rate=self._frame_rate,
            origin_pts=origin_pts,
            audio=self.audio,
            encoder=self.encoder,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Give up the file after a failure, and say in one line why; any later write says the same."""
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            if self._writer is not None:
                self._writer.abandon()
                self._writer = None
            reason = error.strerror or str(error)
            kept = "What was written before stays playable"
            self._failure = (
                DiskError(f"could not write {self.path}: {reason}. {kept}; choose another place")
                if isinstance(error, OSError)  # FFmpeg's own errors are none of the disk's
                else SinkError(f"could not encode {self.path}: {reason}. {kept}")
            )
            raise self._failure from error
