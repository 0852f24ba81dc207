"""What a user can set about an annotation; read without torch, for the command line."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.sources.selection import Selection
from app.stream.controls import Controls
from app.stream.effect import Effect


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the content of the lines, beside the input and the model.

    Attributes:
        score: least score of an instance, in [0, 1].
        classes: names of the classes to look for; None looks for all.
        start, end: seconds; frames before the one and from the other on are left out. None leaves none out.
        stride: every so many frames.
        batch: frames that run through the model together. Rounding may differ with the company of a frame, so batches
            are cut at the same places after an interruption.
        track: whether instances get ids that last.
    """

    score: float = 0.3
    classes: frozenset[str] | None = None
    start: float | None = None
    end: float | None = None
    stride: int = 1
    batch: int = 1
    track: bool = False

    def as_header(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        values = asdict(self)
        kept = values.pop("classes")
        return values | {"kept_classes": sorted(kept) if kept is not None else None}

    def controls(self, effects: Sequence[Effect] = ()) -> Controls:
        """Return what is looked for, and how the video is drawn: with effects, or with masks and labels."""
        is_plain = not effects
        return Controls(
            self.score,
            self.classes,
            show_masks=is_plain,
            show_labels=is_plain,
            track=self.track,
            effects=tuple(effects),
        )

    def expected_frames(self, frame_count: int | None, frame_rate: float | None) -> int | None:
        """Return how many frames are selected of a source that says this of itself; None where it does not say it."""
        if frame_count is None:
            return None
        start, rate = self.start or 0.0, frame_rate or 0.0
        count = frame_count if self.end is None else min(frame_count, round(self.end * rate))
        return max(0, -(-(count - round(start * rate)) // self.stride))

    def selection(self, after_index: int = -1) -> Selection:
        """Return the frames that are wanted, from the one after `after_index` on."""
        limits = {"start_seconds": self.start, "end_seconds": self.end}
        given: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
        return Selection(stride=self.stride, after_index=after_index, **given)
