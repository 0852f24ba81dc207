"""One clock for the frames of many connections."""

import dataclasses
from fractions import Fraction

from app.stream.frames import Frame
from app.stream.sound import Sound

_JUMP_SECONDS = 2.0  # of a connection's timestamps against the time of arrival: its clock was set again


class Timeline:
    """Moves timestamps to a clock that starts at 0 with the first frame and goes on while nothing comes.

    Within a connection the distances between timestamps stay as they are; across a gap they are those of the arrivals.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Nothing has come yet; `time_base` is that of the new timestamps, in seconds per tick."""
        self._tick = time_base
        self._started_at: float | None = None
        self._shift_seconds: Fraction | None = None
        self._last_pts = -1
        self._index = 0

    def begin(self) -> None:
        """Expect the timestamps of another connection, which may begin anywhere."""
        self._shift_seconds = None

    def place(self, frame: Frame) -> Frame:
        """Return `frame` with its timestamp on this clock, later than all before, and with the next index."""
        if self._started_at is None:
            self._started_at = frame.captured_at
        seconds = frame.pts * frame.time_base
        elapsed = Fraction(frame.captured_at - self._started_at)
        if self._shift_seconds is None or abs(seconds + self._shift_seconds - elapsed) > _JUMP_SECONDS:
            self._shift_seconds = elapsed - seconds
        pts = max(round((seconds + self._shift_seconds) / self._tick), self._last_pts + 1)
        placed = dataclasses.replace(frame, pts=pts, time_base=self._tick, index=self._index)
        self._last_pts, self._index = pts, self._index + 1
        return placed

    def place_sound(self, sound: Sound) -> Sound | None:
        """Return `sound` of the same connection on this clock; None before its first frame."""
        if self._shift_seconds is None:
            return None
        return dataclasses.replace(sound, seconds=sound.seconds + float(self._shift_seconds))
