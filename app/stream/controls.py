"""`Controls`, what may change while a stream runs, and the panels that keep them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.stream.effect import HIDE_SCORE, Effect


@dataclass(frozen=True, slots=True)
class Controls:
    """What may change while a stream runs; replaced whole, read at a frame's start.

    Attributes:
        score_threshold: instances below it are left out, in [0, 1].
        classes: class names to keep; None keeps all.
        show_masks, show_boxes, show_labels, show_readout: what is drawn.
        opacity: of the masks, in [0, 1].
        track: instances get ids that last, and colours that follow them.
        paused: capture stands still (a file waits, a live source is read and discarded).
        effects: what is done to the picture before anything is drawn into it.
        count_resets: how often the counts of zones and lines were reset; they begin again whenever it changes.
    """

    score_threshold: float = 0.4
    classes: frozenset[str] | None = None
    show_masks: bool = True
    show_boxes: bool = False
    show_labels: bool = True
    show_readout: bool = True
    opacity: float = 0.5
    track: bool = False
    paused: bool = False
    count_resets: int = 0
    effects: tuple[Effect, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("score_threshold", "opacity"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")

    @property
    def hides(self) -> bool:
        """Whether an effect hides instances."""
        return any(effect.hides for effect in self.effects)

    @property
    def search_threshold(self) -> float:
        """The least score that is of interest: what is hidden may be less certain than what is shown."""
        return min(self.score_threshold, HIDE_SCORE) if self.hides else self.score_threshold

    @property
    def search_classes(self) -> frozenset[str] | None:
        """The classes that are of interest, shown or hidden; None means all."""
        hidden = self.hidden_classes
        return None if self.classes is None or hidden is None else self.classes | hidden

    @property
    def hidden_classes(self) -> frozenset[str] | None:
        """The classes that effects hide; None means all."""
        hidden = [effect.classes for effect in self.effects if effect.hides]
        return None if None in hidden else frozenset().union(*(classes for classes in hidden if classes))


class ControlPanel:
    """The one place where the current `Controls` are kept. Window keys and page sliders write it, the parts read it."""

    def __init__(self, controls: Controls | None = None) -> None:
        """Start from `controls`, or from the defaults."""
        self._current = controls or Controls()
        self._lock = threading.Lock()

    @property
    def current(self) -> Controls:
        """The controls as they stand now."""
        return self._current

    def update(self, **changes: Any) -> Controls:
        """Replace the named fields and return the new controls."""
        with self._lock:
            self._current = replace(self._current, **changes)
            return self._current


class PanelGroup(ControlPanel):
    """The controls of several sources as one: a change goes to all, and the first one's are shown."""

    def __init__(self, panels: Sequence[ControlPanel]) -> None:
        """Steer `panels`, at least one."""
        self._panels = panels

    @property
    def current(self) -> Controls:
        """Those of the first source."""
        return self._panels[0].current

    def update(self, **changes: Any) -> Controls:
        """Replace the named fields for every source."""
        for panel in self._panels:
            panel.update(**changes)
        return self.current
