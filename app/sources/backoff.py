"""How long to wait between two tries to reach a source, and how often to try."""

import random
from dataclasses import dataclass

FIRST_SECONDS = 1.0
MAX_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first_seconds` up to `max_seconds`, each shortened at random by up to a half.

    The random part keeps many viewers from coming back to a server at the same moment.

    Attributes:
        first_seconds: the longest first wait.
        max_seconds: the longest wait at all.
        tries: give up after so many failures in a row; None tries forever, 0 never tries again.
    """

    first_seconds: float = FIRST_SECONDS
    max_seconds: float = MAX_SECONDS
    tries: int | None = None

    def seconds(self, failures: int) -> float | None:
        """Return how long to wait after so many failures in a row, at least 1; None if there is no other try."""
        if self.tries is not None and failures > self.tries:
            return None
        longest = min(self.max_seconds, self.first_seconds * 2.0 ** min(failures - 1, 32))
        return longest * random.uniform(0.5, 1.0)


def parse_retry(text: str) -> Backoff:
    """Return what `forever`, `never` or a number of tries means.

    Raises:
        ValueError: it is none of these.
    """
    if text == "forever":
        return Backoff()
    if text == "never":
        return Backoff(tries=0)
    if text.isdecimal():
        return Backoff(tries=int(text))
    raise ValueError(f"must be 'forever', 'never' or a number of tries, got {text!r}")
