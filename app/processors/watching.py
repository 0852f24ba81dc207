"""Events, zones and lines, as a processor: what happens to the instances that were tracked."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app.processors.area_watch import AreaChange, watch
from app.processors.presence import Presence, PresenceLog, TrackedInstance
from app.stream.areas import Area
from app.stream.controls import ControlPanel
from app.stream.events import Event
from app.stream.frames import Result
from solov2.masks.crop_rle import encode_crops


class Watching:
    """Adds to each result what happened in it, and the state of each zone and line. Runs behind `Tracking`."""

    def __init__(
        self, areas: Iterable[Area], class_names: Sequence[str], *, panel: ControlPanel, gives_masks: bool = False
    ) -> None:
        """Watch from the first result on.

        Args:
            areas: zones and lines; without any only `appeared` and `left` are told.
            class_names: the name of each label.
            panel: the counts begin again whenever its `count_resets` changes.
            gives_masks: whether events hold masks.
        """
        self._watches = [watch(area, class_names) for area in areas]
        self._class_names, self._panel, self._gives_masks = class_names, panel, gives_masks
        self._log = PresenceLog()
        self._resets = panel.current.count_resets

    def __call__(self, result: Result) -> Result:
        """Return `result` with its events and the states of the areas; instances without an id do not count."""
        started = time.perf_counter()
        resets = self._panel.current.count_resets
        if resets != self._resets:
            self._resets = resets
            for one in self._watches:
                one.reset()
        events = tuple(self._event(result, noticed) for noticed in self._notice(result))
        areas = tuple(one.state for one in self._watches)
        steps_ms = {**result.steps_ms, "zones": 1000 * (time.perf_counter() - started)}
        return replace(result, events=events, areas=areas, steps_ms=steps_ms)

    def _notice(self, result: Result) -> Iterator[AreaChange]:
        seconds, image_hw = result.frame.pts_seconds, result.instances.image_hw
        for presence in self._log.pop_left(seconds):
            yield from self._forget(presence)
        for presence in self._log.update(_tracked(result), seconds):
            if presence.is_new:
                yield AreaChange("appeared", self._class_names[presence.label], presence, {})
            for one in self._watches:
                if one.counts(presence):
                    yield from one.see(presence, image_hw)
        for one in self._watches:
            yield from one.settle()

    def _forget(self, presence: Presence) -> Iterator[AreaChange]:
        for one in self._watches:
            yield from one.forget(presence)
        dwell_seconds = presence.last_seconds - presence.first_seconds
        yield AreaChange("left", self._class_names[presence.label], presence, {"dwell_seconds": dwell_seconds})

    def _event(self, result: Result, noticed: AreaChange) -> Event:
        frame, presence = result.frame, noticed.presence
        event = Event(
            noticed.kind,
            frame.source_id,
            frame.index,
            frame.pts_seconds,
            frame.captured_at,
            category=noticed.category,
            **noticed.details,
        )
        if presence is None:
            return event
        mask = encode_crops([presence.crop], result.instances.image_hw)[0] if self._gives_masks else None
        return replace(event, track_id=presence.track_id, score=presence.score, box=presence.crop.box, mask=mask)


def _tracked(result: Result) -> list[TrackedInstance]:
    instances = result.instances
    parts = zip(
        result.track_ids or (), instances.labels.tolist(), instances.scores.tolist(), instances.crops, strict=False
    )
    return [TrackedInstance(*part) for part in parts if part[0] and part[3].mask.size]
