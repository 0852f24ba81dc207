"""An event as JSON. The format: docs/zones-and-events.md, and as a JSON Schema docs/event.schema.json."""

import time
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.stream.events import Event, EventKind

VERSION: Final = 1
SCORE_DIGITS = 4
SECONDS_DIGITS = 3


class EventMask(BaseModel):
    """A mask as COCO's compressed run-length code."""

    size: tuple[int, int] = Field(description="height and width of the picture")
    counts: str


class EventRecord(BaseModel):
    """What is written about an event. What does not apply to its kind is left out."""

    model_config = ConfigDict(title="An event of solov2-live", populate_by_name=True)

    version: Literal[1] = Field(
        default=VERSION, description="of this format; it changes when a key changes its meaning"
    )
    id: str = Field(description="different for every event; an event that is delivered twice has the same id twice")
    event: EventKind
    time: str | None = Field(default=None, description="UTC, ISO 8601, when the frame was captured; live sources only")
    source: str = Field(description="name of the camera, file or stream")
    frame: int = Field(description="index of the frame, from 0 on, in the order of capture")
    seconds: float = Field(description="presentation time of the frame")
    track_id: int | None = Field(default=None, description="of the instance, unique within a run and source")
    category: str | None = Field(default=None, alias="class")
    score: float | None = Field(default=None, description="in [0, 1]")
    box: tuple[int, int, int, int] | None = Field(
        default=None, description="left, top, right, bottom in pixels; the last two exclusive"
    )
    area: str | None = Field(default=None, description="name of the zone or line")
    direction: Literal["forward", "backward"] | None = Field(
        default=None, description="forward: from the left of the line to its right, looking from its first point"
    )
    dwell_seconds: float | None = Field(default=None, description="how long it was in the picture, or in the zone")
    count: int | None = Field(default=None, description="instances of the class in the zone now")
    mask: EventMask | None = None


def record_of(event: Event, identity: str, *, is_live: bool, source: str | None = None) -> EventRecord:
    """Return the record of an event.

    Args:
        event: what happened.
        identity: no other event has it.
        is_live: whether the time of day is told, which a file does not know.
        source: name of the source; None takes the event's `source_id`.
    """
    values: dict[str, Any] = {name: getattr(event, name) for name in ("track_id", "category", "box", "area", "count")}
    return EventRecord(
        id=identity,
        event=event.kind,
        time=_time_of_day(event.captured_at) if is_live else None,
        source=source or event.source_id,
        frame=event.frame,
        seconds=round(event.seconds, SECONDS_DIGITS),
        score=None if event.score is None else round(event.score, SCORE_DIGITS),
        dwell_seconds=None if event.dwell_seconds is None else round(event.dwell_seconds, SECONDS_DIGITS),
        direction=event.direction,
        mask=None if event.mask is None else EventMask(**event.mask),
        **values,
    )


def json_of(record: EventRecord) -> str:
    """Return a record as one line of JSON."""
    return record.model_dump_json(by_alias=True, exclude_none=True)


def _time_of_day(captured_at: float) -> str:
    seconds = time.time() - (time.monotonic() - captured_at)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
