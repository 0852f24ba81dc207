"""The sources that the operator of the page named by `--source` or `--config`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from app.lane_plan import LanePlan
from app.page.choice import SourceChoice
from app.page.stream_runner import CONTROLS
from app.sources import may_be_live, open_source
from app.sources.paced import PacedSource
from app.sources.reconnecting import ReconnectingSource
from app.sources.repeated import RepeatedSource
from app.stream.parts import Source


def own_sources(plans: Sequence[LanePlan]) -> tuple[SourceChoice, ...]:
    """Return the sources of `plans`, each with its own controls; nothing is opened."""
    for plan in plans:
        if plan.save is not None:
            print(f"{plan.name}: 'save' is left out, as the page records on request", file=sys.stderr)
    return tuple(
        SourceChoice(
            plan.name,
            partial(open_own, plan.name, partial(open_source, plan.source), may_be_live(plan.source)),
            replace(CONTROLS, score_threshold=plan.score, classes=plan.classes, track=plan.track),
            plan.steady,
            plan.areas,
            plan.events,
        )
        for plan in plans
    )


def open_own(name: str, open_once: Callable[[], Source], is_live: bool) -> Source:
    """Return a source that holds up no other: what is live is opened in a thread of its own, whenever it can be.

    A file is repeated.

    Args:
        name: to show, without any password.
        open_once: opens it, or raises SourceError.
        is_live: whether it may be live; what a web server sends shows only when it is open.

    Raises:
        SourceError: a file cannot be read.
    """
    if not is_live:
        return RepeatedSource(open_once)

    def open_paced() -> Source:
        source = open_once()
        return source if source.is_live else PacedSource(source)

    return ReconnectingSource(name, open_paced)
