"""What a page shows about the stream, as values for JSON."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.page.feed import Feed
from app.page.run import Run
from app.page.stream_runner import ALL, Engine
from app.stream.source_status import SourceStatus

_SUMMED = (
    *("capture_fps", "inference_fps", "display_fps"),
    *("captured", "segmented", "displayed", "reconnects", "stalls"),
)


def stream_status(engine: Engine, source: int = ALL) -> dict[str, Any]:
    """Return what is known about the stream, and more of one of its sources; of all together if `source` is ALL."""
    run = engine.run
    if run is None:
        return {"state": "idle", "message": "", "sources": [], "problem": engine.problem, "loading": ""}
    feeds, class_names = run.progress.feeds, run.progress.class_names
    chosen = feeds if source not in range(len(feeds)) else feeds[source : source + 1]
    loading = engine.loading
    recordings = [feed.recording for feed in chosen]
    return {
        "state": _state(run, chosen),
        "message": run.progress.message or (_waiting(feeds[0]) if len(feeds) == 1 else ""),
        "source": run.choice.name,
        "sources": _source_states(run),
        "model": run.choice.model,
        "loading": loading.model if loading is not None else "",
        "problem": engine.problem,
        "stats": _combined(chosen),
        "has_picture": len(chosen) == 1 and chosen[0].shown.result is not None,
        "classes": _count_by_class(chosen, class_names),
        "recording": any(recording.is_recording for recording in recordings),
        "recorded_frames": sum(recording.frames for recording in recordings if recording.is_recording)
        or (recordings[0].frames if len(recordings) == 1 else 0),
        "recording_problem": next((recording.problem for recording in recordings if recording.problem), ""),
    }


def _state(run: Run, feeds: Sequence[Feed]) -> str:
    is_paused = bool(feeds) and all(feed.view.panel.current.paused for feed in feeds)
    return "paused" if run.progress.state == "running" and is_paused else run.progress.state


def _source_states(run: Run) -> list[dict[str, Any]]:
    """The state of each source; before they are open, their names alone."""
    if not run.progress.feeds:
        return [{"name": source.name, "phase": "connecting", "reason": ""} for source in run.choice.sources]
    return [_source_state(feed, is_on=run.is_on) for feed in run.progress.feeds]


def _source_state(feed: Feed, is_on: bool) -> dict[str, Any]:
    status, snapshot, now = feed.source.status, feed.stats.snapshot(), time.monotonic()
    is_paused = feed.view.panel.current.paused and status.phase == "live"
    return {
        "name": feed.name,
        "phase": "ended" if not is_on else "paused" if is_paused else status.phase,
        "is_live": feed.source.is_live,
        "reason": status.reason,
        "next_try_seconds": None if status.next_try_at is None else max(0.0, status.next_try_at - now),
        "age_ms": snapshot.age_ms,
        "fps": snapshot.display_fps,
        "recording": feed.recording.is_recording,
    }


def _waiting(feed: Feed) -> str:
    """Why a live source gives nothing at the moment; nothing while it does."""
    status: SourceStatus = feed.source.status
    return status.line() if feed.cover is not None and status.phase != "live" else ""


def _combined(feeds: Sequence[Feed]) -> dict[str, Any]:
    """The counters of some sources as one: rates and counts in sum, the age of the oldest picture."""
    values = [feed.reporter.values() for feed in feeds]
    if len(values) <= 1:
        return values[0] if values else {}
    dropped: Counter[str] = Counter()
    for one in values:
        dropped.update(one["dropped"])
    sums = {name: sum(one[name] or 0 for one in values) for name in _SUMMED}
    ages = [one["age_ms"] for one in values if one["age_ms"] is not None]
    return sums | {"age_ms": max(ages, default=None), "dropped": dict(dropped)}


def _count_by_class(feeds: Sequence[Feed], class_names: Sequence[str]) -> dict[str, int]:
    """How many instances of each class the latest results hold, the most frequent first."""
    results = [feed.shown.result for feed in feeds]
    labels = [label for result in results if result is not None for label in result.instances.labels.tolist()]
    return dict(Counter(class_names[label] for label in labels).most_common())
