"""The sink that records a live source: for days, in segments, or only while something is seen."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import av

from app.sinks.encoder import X264, find_encoder
from app.sinks.live_encoder import TICK, AnyPacket, LiveEncoder, is_video, seconds_of
from app.sinks.live_file import LiveFile
from app.sinks.recording_plan import FileNames, RecordingPlan
from app.sinks.writable import check_video_path
from app.stream.frames import Picture, Result
from app.stream.parts import Sink
from app.stream.sound import SoundBuffer

KEY_SECONDS = 2.0
KEY_SECONDS_PRE_ROLL = 1.0  # a file begins with a key frame, so the pre-roll is longer by less than that
RETRY_SECONDS = 30.0  # after a failure, such as a full disk


class LiveVideoSink(Sink):
    """Records pictures with their own timestamps, and the sound beside them, into one file after the other.

    Every picture is encoded once. Packets wait in memory, from the key frame on that the pre-roll needs, until they are
    written or known not to be wanted. A file that cannot be written is told and given up, and another one is tried
    half a minute later: the stream goes on.

    Attributes:
        files: what was written, in order.
        problem: what went wrong last, in one line; empty if nothing did.
    """

    def __init__(
        self,
        template: Path,
        plan: RecordingPlan | None = None,
        *,
        class_names: Sequence[str] = (),
        frame_rate: float | None = None,
        sound: SoundBuffer | None = None,
        uses_gpu: bool = False,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        """Touch nothing yet.

        Args:
            template: the file's name, `.mp4` or `.mkv`; see `FileNames`.
            plan: what is recorded; None records all into one file.
            class_names: the name of each label.
            frame_rate: nominal frames per second, None where unknown; timestamps do not depend on it.
            sound: of the source, on the clock of its frames.
            uses_gpu: encode on the GPU if it can.
            tell: called with what goes wrong, in one line.

        Raises:
            SinkError: there is no such folder, or no file can be written there.
        """
        check_video_path(template)
        self.files: list[Path] = []
        self.problem = ""
        self._plan = plan or RecordingPlan()
        self._names = FileNames(template, self._plan.makes_many)
        self._path = template  # of the file that is being written, or was last
        self._class_names, self._frame_rate, self._uses_gpu = class_names, frame_rate, uses_gpu
        self._sound = sound or SoundBuffer()
        self._tell = tell
        self._encoder: LiveEncoder | None = None
        self._file: LiveFile | None = None
        self._waiting: deque[AnyPacket] = deque()  # of both streams, from a key frame on, in the order of time
        self._early_sound: deque[AnyPacket] = deque()  # later than the last picture that left the encoder
        self._wanted_from = self._wanted_until = float("-inf")
        self._file_end = float("inf")  # seconds
        self._retry_at = 0.0

    def write(self, result: Result) -> None:
        """Record the picture if the plan says so."""
        picture = self._plan.picture_of(result)
        seconds = result.frame.pts_seconds
        self._look(result, seconds)
        try:
            encoder = self._encoder = self._encoder or self._open_encoder(picture)
            self._take_sound(encoder)
            ends = self._file is not None and seconds >= self._file_end
            for packet in encoder.picture(picture, round(result.frame.pts * result.frame.time_base / TICK), ends):
                self._take(packet)
        except (OSError, av.FFmpegError) as error:
            self._failed(error)

    def close(self) -> None:
        """Complete the file."""
        try:
            if self._encoder is not None:
                for packet in self._encoder.flush():
                    self._take(packet)
            self._close_file()
        except (OSError, av.FFmpegError) as error:
            self._failed(error)

    def _look(self, result: Result, seconds: float) -> None:
        """Note whether the picture, and what lies around it, is to be recorded."""
        wanted = self._plan.record_when
        if wanted is None:
            self._wanted_from, self._wanted_until = float("-inf"), float("inf")
        elif any(self._class_names[label] in wanted for label in result.instances.labels.tolist()):
            if seconds > self._wanted_until:
                self._wanted_from = seconds - self._plan.pre_roll_seconds
            self._wanted_until = seconds + self._plan.linger_seconds

    def _open_encoder(self, picture: Picture) -> LiveEncoder:
        height, width = picture.shape[:2]
        encoder = find_encoder((height + height % 2, width + width % 2)) if self._uses_gpu else X264
        key_seconds = KEY_SECONDS_PRE_ROLL if self._plan.record_when is not None else KEY_SECONDS
        return LiveEncoder((height, width), self._frame_rate, key_seconds, encoder)

    def _take_sound(self, encoder: LiveEncoder) -> None:
        for piece in self._sound.take():
            self._early_sound.extend(encoder.sound(piece))

    def _take(self, packet: AnyPacket) -> None:
        """Put a picture's packet behind the sound before it, and write or forget what can be."""
        now = seconds_of(packet)
        while self._early_sound and seconds_of(self._early_sound[0]) < now:
            self._waiting.append(self._early_sound.popleft())
        if self._file is not None and (now > self._wanted_until or (packet.is_keyframe and now >= self._file_end)):
            self._write_waiting()
            self._close_file()
        self._waiting.append(packet)
        if self._file is None and now <= self._wanted_until and time.monotonic() >= self._retry_at:
            self._open_file()
        if self._file is not None:
            self._write_waiting()
        else:
            self._forget(now)

    def _open_file(self) -> None:
        """Begin a file with the last key frame that is early enough, or with the first that there is."""
        keys = [packet for packet in self._waiting if is_video(packet) and packet.is_keyframe]
        if not keys or self._encoder is None:
            return
        first = next((key for key in reversed(keys) if seconds_of(key) <= self._wanted_from), keys[0])
        while self._waiting[0] is not first:
            self._waiting.popleft()
        self._path = self._names.next()
        self._file = LiveFile(self._path, self._encoder, first.pts or 0, self._sound.has_sound)
        self.files.append(self._path)
        self._file_end = seconds_of(first) + (self._plan.segment_seconds or float("inf"))

    def _write_waiting(self) -> None:
        while self._waiting and self._file is not None:
            self._file.write(self._waiting.popleft())

    def _forget(self, now: float) -> None:
        """Keep what the pre-roll of a recording that begins now would need: a key frame, and all after it."""
        needed = now - self._plan.pre_roll_seconds
        keys = [packet for packet in self._waiting if is_video(packet) and packet.is_keyframe]
        first = next((key for key in reversed(keys) if seconds_of(key) <= needed), keys[0] if keys else None)
        while self._waiting and self._waiting[0] is not first:
            self._waiting.popleft()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _failed(self, error: OSError | av.FFmpegError) -> None:
        """Give the file up, tell why, and try another one later."""
        if self._file is not None:
            self._file.abandon()
        self._file = None
        self._waiting.clear()
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.problem = (
            f"could not record into {self._path}: {error.strerror or error}. What was written before can be played; "
            f"the stream goes on, and recording is tried again in {RETRY_SECONDS:.0f} s"
        )
        self._tell(self.problem)
