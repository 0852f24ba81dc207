"""What somebody wants to see: sources, and the model that looks at them."""

from collections.abc import Callable
from dataclasses import dataclass

from app.stream.areas import Area
from app.stream.controls import Controls
from app.stream.parts import Source

MAX_SOURCES = 16  # side by side


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """One source.

    Attributes:
        name: to show, without any password.
        open_source: opens it, or raises SourceError; called again by each run.
        controls: with which a source of the operator begins; None of what a visitor chose, which keeps the page's own.
        is_steady: whether the masks of a live source are kept from flickering.
        areas: zones and lines to watch.
        events: where its events go, see `app.events.event_targets.open_target`.
    """

    name: str
    open_source: Callable[[], Source]
    controls: Controls | None = None
    is_steady: bool = True
    areas: tuple[Area, ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The sources that are streamed together, and which model sees them."""

    sources: tuple[SourceChoice, ...]
    model: str
    device: str = "auto"

    @classmethod
    def single(cls, name: str, open_source: Callable[[], Source], model: str, device: str = "auto") -> "Choice":
        """Return the choice of one source; see `SourceChoice`."""
        return cls((SourceChoice(name, open_source),), model, device)

    @property
    def name(self) -> str:
        """What it is called, without any password."""
        return self.sources[0].name if len(self.sources) == 1 else f"{len(self.sources)} sources"
