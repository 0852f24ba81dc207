"""What a live source is doing, as a value: for windows, pages, terminals and counters."""

import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["connecting", "live", "waiting", "ended"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The state of a source at one moment.

    Attributes:
        phase: "connecting": it is being opened; "live": frames come; "waiting": it failed, and will be tried again;
            "ended": nothing more will come.
        since: `time.monotonic()` seconds at which frames began to come, or ceased to.
        reason: why it waits or has ended, in a few words.
        next_try_at: `time.monotonic()` seconds of the next try; None unless it waits.
        details: size, codec and rate of what came last, such as "1280x720 h264 30 fps".
        reconnects: how often it came back after it had been live.
        stalls: how often it was open and sent nothing for too long.
        corrupt: how many pictures were not given because they were damaged.
    """

    phase: Phase
    since: float
    reason: str = ""
    next_try_at: float | None = None
    details: str = ""
    reconnects: int = 0
    stalls: int = 0
    corrupt: int = 0

    def line(self, now: float | None = None) -> str:
        """Return it in one line, such as "waiting: connection refused, next try in 4 s"."""
        if self.phase == "live":
            return f"connected {self.details}".rstrip()
        if self.phase == "waiting" and self.next_try_at is not None:
            remaining = max(0.0, self.next_try_at - (time.monotonic() if now is None else now))
            return f"waiting: {self.reason}, next try in {remaining:.0f} s"
        return f"{self.phase}: {self.reason}" if self.reason else self.phase
