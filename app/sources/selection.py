"""Which frames of a file are wanted."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """A stretch of a file, every so many frames of it, and where to go on after an interruption.

    Attributes:
        start_seconds: frames before it are left out.
        end_seconds: the first frame at or after it ends the reading.
        stride: of the others the first, and then every `stride`-th, is taken.
        after_index: frames up to this index are left out too, without a change to which others are taken.
    """

    start_seconds: float = -math.inf
    end_seconds: float = math.inf
    stride: int = 1
    after_index: int = -1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"the start must lie before the end, got {self.start_seconds} and {self.end_seconds}")

    def choose(self, items: Iterable[T], seconds_of: Callable[[T], float]) -> Iterator[tuple[int, T]]:
        """Yield index and item of those of all `items`, in order, that are wanted."""
        inside = 0
        for index, item in enumerate(items):
            seconds = seconds_of(item)
            if seconds >= self.end_seconds:
                return
            if seconds >= self.start_seconds:
                if inside % self.stride == 0 and index > self.after_index:
                    yield index, item
                inside += 1


EVERYTHING = Selection()
