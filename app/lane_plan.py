"""What each source of a run is asked to do."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.sources import redact
from app.stream_errors import AppError


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
        save: the video to write, None for none.
    """

    name: str
    source: str
    score: float
    classes: frozenset[str] | None
    track: bool
    save: Path | None


def plan_sources(sources: Sequence[str], common: LanePlan) -> list[LanePlan]:
    """Return a plan for each of `sources`, which share all else with `common`."""
    names = [redact(source) for source in sources]
    return [named_plan(name, source, common) for name, source in zip(_distinct(names), sources, strict=True)]


def named_plan(name: str, source: str, common: LanePlan) -> LanePlan:
    """Return `common` for one source, with its name and the time filled into the name of its file."""
    save = None if common.save is None else Path(_filled(str(common.save), name))
    return LanePlan(name, source, common.score, common.classes, common.track, save)


def _filled(template: str, name: str) -> str:
    """Put the source's name and the time into the name of a file."""
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "source"
    return template.replace("{source}", safe).replace("{time}", f"{datetime.now():%Y%m%d-%H%M%S}")


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
