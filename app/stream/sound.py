"""The sound of a live source, in one format whatever the source sends, on its way to a recording."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

SOUND_RATE = 48_000
MAX_SECONDS = 10.0  # that wait while nobody takes them

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A piece of sound.

    Attributes:
        samples: (2, n) float32 in [-1, 1]: left and right, `SOUND_RATE` a second.
        seconds: presentation time of the first sample, on the clock of the frames' `pts`.
    """

    samples: Samples
    seconds: float

    @property
    def end_seconds(self) -> float:
        """Presentation time of the first sample after it."""
        return self.seconds + float(self.samples.shape[1]) / SOUND_RATE


class SoundBuffer:
    """Carries sound from the thread that reads a source to the one that records it; the oldest is dropped when full.

    Attributes:
        has_sound: whether the source sends sound.
    """

    def __init__(self, has_sound: bool = False) -> None:
        """Hold nothing yet."""
        self.has_sound = has_sound
        self._pieces: deque[Sound] = deque()
        self._lock = threading.Lock()

    def put(self, sound: Sound) -> None:
        """Add a piece, in the order of time."""
        with self._lock:
            self._pieces.append(sound)
            while sound.end_seconds - self._pieces[0].seconds > MAX_SECONDS and len(self._pieces) > 1:
                self._pieces.popleft()

    def take(self) -> list[Sound]:
        """Return what has come since the last call, and forget it."""
        with self._lock:
            taken = list(self._pieces)
            self._pieces.clear()
        return taken


@runtime_checkable
class HasSound(Protocol):
    """A source that gives sound beside its frames.

    Attributes:
        sound: filled while the source is read.
    """

    sound: SoundBuffer
