"""When the pictures of a live stream were sent, as far as its timestamps and their arrival tell."""

from fractions import Fraction

_JUMP_SECONDS = 10.0  # of the sender's clock against ours: it was set again
_DRIFT = 1e-4  # by which two clocks may differ in speed: a tenth of a second in 17 minutes


class ArrivalClock:
    """Compares the sender's timestamps with the times of arrival.

    The shortest delay seen so far is taken for no delay at all. A picture that comes later than that has waited on its
    way, in the network or in a buffer before the decoder, and is older than its arrival says. So a backlog shows in the
    age of a picture.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Know nothing yet; `time_base` is the sender's, in seconds per tick."""
        self._tick = float(time_base)
        self._offset: float | None = None  # from the sender's clock to ours, for a picture without any delay
        self._seen_at = 0.0
        self._last = 0, 0.0

    def sent_at(self, pts: int, arrived_at: float) -> float:
        """Return when the picture would have arrived without a delay, in `time.monotonic()` seconds.

        Args:
            pts: of the picture, in ticks of the sender's clock.
            arrived_at: `time.monotonic()` seconds.
        """
        offset = arrived_at - pts * self._tick
        allowed = None if self._offset is None else self._offset + _DRIFT * (arrived_at - self._seen_at)
        if allowed is None or abs(offset - allowed) > _JUMP_SECONDS:
            allowed = offset
        self._offset = min(offset, allowed)
        self._seen_at = arrived_at
        self._last = pts, arrived_at
        return min(arrived_at, pts * self._tick + self._offset)

    def ticks_at(self, arrived_at: float) -> int:
        """Return a timestamp for a picture that has none: that of the one before, and the time since its arrival."""
        last_pts, last_at = self._last
        pts = last_pts + (round((arrived_at - last_at) / self._tick) if last_at else 0)
        self._last = pts, arrived_at
        return pts
