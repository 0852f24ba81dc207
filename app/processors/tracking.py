"""Ids that last, as a processor."""

import time
from dataclasses import replace

from app.processors.observation import observations
from app.processors.tracker import Tracker
from app.stream.controls import ControlPanel
from app.stream.frames import Result


class Tracking:
    """Gives the instances of each result their ids while the controls say so."""

    def __init__(self, panel: ControlPanel, tracker: Tracker | None = None, *, always: bool = False) -> None:
        """Follow the `track` of `panel`, or track `always`; `tracker` None knows nothing yet."""
        self._panel, self._tracker, self._always = panel, tracker or Tracker(), always

    def __call__(self, result: Result) -> Result:
        """Return `result` with the id of each of its instances, and the time that this took."""
        if not (self._always or self._panel.current.track):
            return result
        started = time.perf_counter()
        ids = self._tracker.update(observations(result.instances), result.frame.pts_seconds)
        steps_ms = {**result.steps_ms, "track": 1000 * (time.perf_counter() - started)}
        return replace(result, track_ids=tuple(ids), steps_ms=steps_ms)
