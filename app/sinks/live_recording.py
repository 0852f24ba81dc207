"""A video file that is started and stopped while a stream runs."""

import threading
from pathlib import Path

from app.sinks.video_sink import VideoSink
from app.stream.frames import Result
from app.stream.parts import Sink
from app.stream_errors import SinkError

STOP_SECONDS = 20.0


class RecordingSink(Sink):
    """Records on request; a recording that fails, or grows too large, ends without ending the stream.

    `start` and `stop` may be called from any thread, the rest as for any sink.

    Attributes:
        problem: why the last recording ended by itself, empty if it did not.
        frames: how many the recording holds so far.
    """

    def __init__(self, frame_rate: float | None, most_bytes: int) -> None:
        """Record nothing yet.

        Args:
            frame_rate: of the source, nominal, None where unknown.
            most_bytes: the size at which a recording ends by itself.
        """
        self.problem = ""
        self.frames = 0
        self._frame_rate, self._most_bytes = frame_rate, most_bytes
        self._video: VideoSink | None = None
        self._stop_wanted = False
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def is_recording(self) -> bool:
        """Whether it records."""
        return self._video is not None

    def start(self, path: Path) -> bool:
        """Record into `path` from the next picture on, unless it records already; return whether it has begun.

        Raises:
            SinkError: no file can be written there.
        """
        with self._lock:
            if self._video is not None:
                return False
            self._video = VideoSink(path, frame_rate=self._frame_rate, start_at_zero=True)
            self.problem, self.frames, self._stop_wanted = "", 0, False
            self._ended.clear()
            return True

    def stop(self) -> bool:
        """End the recording and wait until its file is finished; return whether it is."""
        if self._video is None:
            return True
        self._stop_wanted = True
        return self._ended.wait(STOP_SECONDS)

    def write(self, result: Result) -> None:
        """Record the picture if that is wanted."""
        self.idle()
        video = self._video
        if video is None:
            return
        try:
            video.write(result)
            self.frames += 1
            if video.path.exists() and video.path.stat().st_size > self._most_bytes:
                self.problem = f"The recording has reached its limit of {self._most_bytes >> 20} MB."
                self._finish()
        except SinkError as error:
            self.problem = str(error)
            self._finish()

    def idle(self) -> None:
        """Finish the file once that is wanted."""
        if self._stop_wanted:
            self._finish()

    def close(self) -> None:
        """Finish the file."""
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            video, self._video, self._stop_wanted = self._video, None, False
        try:
            if video is not None:
                video.close()
        except SinkError as error:
            self.problem = self.problem or str(error)
        finally:
            self._ended.set()
