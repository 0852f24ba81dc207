"""The counters of a running stream: written by every part, read by the read-out, the page and `--stats-json`."""

import dataclasses
import math
import statistics
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

WINDOW_SECONDS = 2.0
MIN_RATE_SECONDS = 0.25
IDLE_SECONDS = 0.5  # without a new picture; then the age of the last one goes on growing
_GROWTH, _BUCKETS = 1.02, 800  # up to two hours
_MAX_EVENTS = 1000

CAUSES = ("capture", "stale", "display", "corrupt", "sink", "paused")  # of which frames are lost


@dataclasses.dataclass(frozen=True, slots=True)
class StatsSnapshot:
    """The state of a stream at one moment.

    Rates, ages and steps cover the last two seconds, and are 0 or empty when nothing came in them.

    Attributes:
        capture_fps, inference_fps, display_fps: frames per second captured, segmented, and shown or written; None as
            long as too little time has passed to tell.
        age_ms: from capture to display of the newest frame; while none follows it, its age goes on growing. None
            before the first one.
        age_p50_ms, age_p95_ms: from capture to display, the median and the 95th percentile.
        run_age_p50_ms, run_age_p95_ms: the same over the whole run.
        steps_ms: mean milliseconds of each step, in the order in which they run.
        dropped: frames lost over the whole run, by cause; see `CAUSES`.
        captured, segmented, displayed: frames over the whole run.
        seconds: from the first frame captured to the last one displayed.
        reconnects: how often the source came back after it had been live.
        stalls: how often the source was open and sent nothing for too long.
    """

    capture_fps: float | None
    inference_fps: float | None
    display_fps: float | None
    age_ms: float | None
    age_p50_ms: float
    age_p95_ms: float
    run_age_p50_ms: float
    run_age_p95_ms: float
    steps_ms: Mapping[str, float]
    dropped: Mapping[str, int]
    captured: int
    segmented: int
    displayed: int
    seconds: float
    reconnects: int = 0
    stalls: int = 0

    @property
    def mean_fps(self) -> float:
        """Frames displayed per second over the whole run."""
        return self.displayed / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Every field and `mean_fps`, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"steps_ms": dict(self.steps_ms), "dropped": dict(self.dropped), "mean_fps": self.mean_fps}


class StreamStats:
    """Counts what happens to a stream's frames. Every method may be called from any thread.

    Rates are counted when they are read, over the two seconds before: on a stream that has stopped they fall to 0.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._captured, self._segmented, self._displayed = _Recent(), _Recent(), _Recent()
        self._steps: defaultdict[str, _Recent] = defaultdict(_Recent)
        self._dropped: Counter[str] = Counter()
        self._ages = _Histogram()
        self._inside = threading.local()

    def captured(self) -> None:
        """Count a frame that the source gave."""
        with self._lock:
            self._captured.add(time.monotonic())

    def segmented(self, steps_ms: Mapping[str, float]) -> None:
        """Count a frame that left the segmenter, and the milliseconds of each of its steps."""
        with self._lock:
            self._segmented.add(time.monotonic())
        for step, milliseconds in steps_ms.items():
            self.timed(step, milliseconds)

    def timed(self, step: str, milliseconds: float) -> None:
        """Note how long one step took for one frame."""
        with self._lock:
            self._steps[step].add(time.monotonic(), milliseconds)

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Note how long the block takes, without the steps that are timed within it in the same thread."""
        before = getattr(self._inside, "seconds", 0.0)
        self._inside.seconds = 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.timed(step, 1000 * (took - self._inside.seconds))
            self._inside.seconds = before + took

    def displayed(self, age_seconds: float) -> None:
        """Count a frame that a sink has shown or written, `age_seconds` after its capture."""
        with self._lock:
            self._displayed.add(time.monotonic(), age_seconds * 1000)
            self._ages.add(age_seconds * 1000)

    def dropped(self, cause: str, count: int = 1) -> None:
        """Count frames that were lost, and why."""
        with self._lock:
            self._dropped[cause] += count

    def snapshot(self, now: float | None = None) -> StatsSnapshot:
        """Return the state at `now`, a `time.monotonic()` value that defaults to this moment."""
        now = time.monotonic() if now is None else now
        with self._lock:
            ages = self._displayed.values(now)
            steps = {step: recent.values(now) for step, recent in self._steps.items()}
            return StatsSnapshot(
                capture_fps=self._captured.rate(now),
                inference_fps=self._segmented.rate(now),
                display_fps=self._displayed.rate(now),
                age_ms=self._age_ms(now),
                age_p50_ms=_percentile(ages, 50),
                age_p95_ms=_percentile(ages, 95),
                run_age_p50_ms=self._ages.percentile(50),
                run_age_p95_ms=self._ages.percentile(95),
                steps_ms={step: statistics.fmean(values) for step, values in steps.items() if values},
                dropped=dict(self._dropped),
                captured=self._captured.total,
                segmented=self._segmented.total,
                displayed=self._displayed.total,
                seconds=max(0.0, self._displayed.last_at - self._captured.first_at) if self._displayed.total else 0.0,
            )

    def _age_ms(self, now: float) -> float | None:
        """Of the picture that is seen now."""
        if not self._displayed.total:
            return None
        idle_seconds = now - self._displayed.last_at
        return self._displayed.last_value + (1000 * idle_seconds if idle_seconds > IDLE_SECONDS else 0.0)


class _Histogram:
    """Ages in milliseconds, counted in buckets that grow by 2 %: constant memory, percentiles at most 2 % too high."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._total = 0

    def add(self, milliseconds: float) -> None:
        bucket = math.ceil(math.log(max(1.0, milliseconds), _GROWTH))
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self._total += 1

    def percentile(self, percent: int) -> float:
        needed = self._total * percent / 100
        reached = 0
        for bucket, count in enumerate(self._counts):
            reached += count
            if count and reached >= needed:
                return float(round(_GROWTH**bucket, 1))
        return 0.0


class _Recent:
    """Events with a value each: those of the last `WINDOW_SECONDS`, a thousand at most, and how many ever came."""

    def __init__(self) -> None:
        self.total = 0
        self.first_at = self.last_at = self.last_value = 0.0
        self._events: deque[tuple[float, float]] = deque(maxlen=_MAX_EVENTS)

    def add(self, now: float, value: float = 0.0) -> None:
        if not self.total:
            self.first_at = now
        self.total += 1
        self.last_at, self.last_value = now, value
        self._events.append((now, value))
        self._forget(now)

    def values(self, now: float) -> list[float]:
        self._forget(now)
        return [value for _, value in self._events]

    def rate(self, now: float) -> float | None:
        """Events per second; over the time since the first one known where that is shorter than the window."""
        self._forget(now)
        count = len(self._events)
        covered = now - (self._events[0][0] if count == _MAX_EVENTS else self.first_at)
        if covered >= WINDOW_SECONDS:
            return count / WINDOW_SECONDS
        return (count - 1) / covered if count > 1 and (covered >= MIN_RATE_SECONDS or count == _MAX_EVENTS) else None

    def _forget(self, now: float) -> None:
        while self._events and self._events[0][0] <= now - WINDOW_SECONDS:
            self._events.popleft()


def _percentile(values: Iterable[float], percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0
