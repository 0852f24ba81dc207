"""`Event`: something that happened to an instance, or in a zone, at a frame."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

EventKind: TypeAlias = Literal["appeared", "left", "entered_zone", "left_zone", "crossed_line", "zone_count"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event. What does not apply to its kind is None.

    Attributes:
        kind: what happened.
        source_id: the source's name, without any password.
        frame: index of the frame at which it was noticed.
        seconds: presentation time of that frame.
        captured_at: `time.monotonic()` seconds of its capture.
        track_id, category: of the instance; `zone_count` has a category alone.
        score, box: of its last observation; the box is left, top, right, bottom in pixels, the last two exclusive.
        area: name of the zone or line.
        direction: of a crossing: "forward" is from the left side to the right one, looking from the line's first point
            to its second; "backward" is the other way.
        dwell_seconds: how long it stayed: in the picture ("left") or in the zone ("left_zone").
        count: instances of the category in the zone now ("zone_count").
        mask: run-length code of the mask, {"size": [height, width], "counts": str}, where that was asked for.
    """

    kind: EventKind
    source_id: str
    frame: int
    seconds: float
    captured_at: float
    track_id: int | None = None
    category: str | None = None
    score: float | None = None
    box: tuple[int, int, int, int] | None = None
    area: str | None = None
    direction: Literal["forward", "backward"] | None = None
    dwell_seconds: float | None = None
    count: int | None = None
    mask: dict[str, Any] | None = None
