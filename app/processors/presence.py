"""Which instances are there: who appeared, who is seen, who left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.processors.tracker import KEEP_SECONDS, KEEP_UPDATES
from solov2.masks.mask_crop import MaskCrop

CONFIRM_FRAMES = 3  # a detector's brief mistakes are no events


@dataclass(slots=True)
class Presence:
    """One instance, as long as it is there.

    Attributes:
        track_id, label: its id and class.
        first_seconds, last_seconds: presentation times of its first and its last observation.
        score, crop: of the last observation.
        frames: how many observations there were.
        updates_missed: frames since the last one.
    """

    track_id: int
    label: int
    first_seconds: float
    last_seconds: float
    score: float
    crop: MaskCrop
    frames: int = 1
    updates_missed: int = 0

    @property
    def is_confirmed(self) -> bool:
        """Whether it was seen often enough to count."""
        return self.frames >= CONFIRM_FRAMES

    @property
    def is_new(self) -> bool:
        """Whether this observation is the one that makes it count."""
        return self.frames == CONFIRM_FRAMES

    def has_left(self, seconds: float) -> bool:
        """Whether it was not seen for as long as the tracker keeps its id; a clock that goes back ends it, too."""
        return self.updates_missed > KEEP_UPDATES and not 0 <= seconds - self.last_seconds <= KEEP_SECONDS


@dataclass(frozen=True, slots=True)
class TrackedInstance:
    """One instance of one frame: its id, label, score and mask, which is not empty."""

    track_id: int
    label: int
    score: float
    crop: MaskCrop


class PresenceLog:
    """Follows the instances of one source from frame to frame."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._present: dict[int, Presence] = {}

    def update(self, instances: Sequence[TrackedInstance], seconds: float) -> Iterator[Presence]:
        """Take the instances of the next frame, and yield those who are seen and count, in their order."""
        for presence in self._present.values():
            presence.updates_missed += 1
        for instance in instances:
            presence = self._observe(instance, seconds)
            if presence.is_confirmed:
                yield presence

    def pop_left(self, seconds: float) -> list[Presence]:
        """Return those who count and have left by now, and forget them."""
        left = [presence for presence in self._present.values() if presence.has_left(seconds)]
        for presence in left:
            del self._present[presence.track_id]
        return [presence for presence in left if presence.is_confirmed]

    def _observe(self, instance: TrackedInstance, seconds: float) -> Presence:
        known = self._present.get(instance.track_id)
        if known is None:
            known = Presence(instance.track_id, instance.label, seconds, seconds, instance.score, instance.crop)
            self._present[instance.track_id] = known
            return known
        known.last_seconds, known.score, known.crop = seconds, instance.score, instance.crop
        known.frames += 1
        known.updates_missed = 0
        return known
