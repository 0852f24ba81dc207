"""What each source of a run is asked to do."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.sinks.recording_plan import RecordingPlan
from app.sources import find_source, redact
from app.stream.areas import Area
from app.stream_errors import AppError, SourceError
from solov2.errors import printable


class PlanError(AppError):
    """A file of cameras, or a set of options, that makes no sense; the message is one line."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """One source, and what happens to its frames.

    Attributes:
        name: in windows, files and reports; without any password.
        source: see `app.sources.open_source`.
        score: instances below it are left out, in [0, 1].
        classes: to keep; None keeps all.
        track: whether instances get ids.
        save: the video to write, in whose name `{time}` is still to be filled in; None for none.
        recording: how it is written.
        areas: zones and lines to watch.
        steady: whether a live source's masks are kept from flickering.
        events: where its events go, see `app.events.event_targets.open_target`.
    """

    name: str
    source: str
    score: float
    classes: frozenset[str] | None
    track: bool
    save: Path | None
    recording: RecordingPlan = field(default_factory=RecordingPlan)
    areas: tuple[Area, ...] = ()
    steady: bool = True
    events: tuple[str, ...] = ()


def plan_sources(sources: Sequence[str], common: LanePlan) -> list[LanePlan]:
    """Return a plan for each of `sources`, which share all else with `common`."""
    names = [printable(redact(source)) for source in sources]
    return [named_plan(name, source, common) for name, source in zip(_distinct(names), sources, strict=True)]


def named_plan(name: str, source: str, common: LanePlan) -> LanePlan:
    """Return `common` for one source, with its name filled into the name of its file."""
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "source"
    save = None if common.save is None else Path(str(common.save).replace("{source}", safe))
    return replace(common, name=name, source=source, save=save)


def check_sources(plans: Sequence[LanePlan]) -> None:
    """Check that a source is there; of several, one that is missing holds up no other.

    Raises:
        SourceError: there is no file or folder of any of them.
    """
    problems = []
    for plan in plans:
        try:
            find_source(plan.source)
        except SourceError as error:
            problems.append(error)
    if len(problems) == len(plans):
        raise problems[0]


def event_targets_of(plans: Sequence[LanePlan]) -> list[str]:
    """Return where the events of all plans go, each target once."""
    return list(dict.fromkeys(target for plan in plans for target in plan.events))


def separate_files(plans: Sequence[LanePlan]) -> None:
    """Check that no two plans write the same file; raise PlanError."""
    twice = [path for path, count in Counter(plan.save for plan in plans).items() if path is not None and count > 1]
    if twice:
        raise PlanError(f"two sources would be written to {twice[0]}: name the file {{source}}.mp4")


def _distinct(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
