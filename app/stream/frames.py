"""The values in which the parts of a stream meet, `Frame` and `Result`, and how a result is drawn on demand."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from app.stream.areas import AreaState
from app.stream.events import Event
from app.stream.lazy import Lazy, Once

if TYPE_CHECKING:
    from solov2 import Instances

Picture: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        pixels: the image, or how it is made when somebody first asks for it. A frame that is dropped is not converted.
        pts: presentation time in ticks of `time_base`, as the source gave it.
        time_base: seconds per tick.
        captured_at: `time.monotonic()` seconds when it arrived, before it was decoded.
        source_id: the source's name, without any password.
        index: 0, 1, 2, ... in the order of capture; a gap tells that frames between were dropped.
    """

    pixels: Picture | Lazy[Picture]
    pts: int
    time_base: Fraction
    captured_at: float
    source_id: str
    index: int

    @property
    def image(self) -> Picture:
        """(H, W, 3) uint8 RGB, upright. Nobody writes into it."""
        return self.pixels.get() if isinstance(self.pixels, Lazy) else self.pixels

    def convert(self) -> "Frame":
        """Make the image now, in the calling thread, and return self."""
        if isinstance(self.pixels, Lazy):
            self.pixels.get()
        return self

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def age_seconds(self, now: float | None = None) -> float:
        """Seconds since capture; `now` is a `time.monotonic()` value."""
        return (time.monotonic() if now is None else now) - self.captured_at


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What effects hide in a frame.

    Attributes:
        instances: less certain ones than those that are shown, and those of the last second, included.
        classes: names of the classes that were looked for; None means all.
    """

    instances: "Instances"
    classes: frozenset[str] | None

    def covers(self, classes: frozenset[str] | None) -> bool:
        """Whether all instances of `classes`, None for all, are among these."""
        return self.classes is None or (classes is not None and classes <= self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame, what was found in it, and how that is drawn.

    Attributes:
        frame: the frame.
        instances: its instances, best first, already reduced to the threshold and classes of the controls.
        steps_ms: milliseconds of each step in the order in which they ran, such as `{"preprocess": 1.2, "network":
            40.1}`.
        track_ids: of the instances, in their order; None where nobody tracks them. See `app.processors.tracker`.
        shades: numbers that choose the colours of the instances, in their order; None takes the track ids, if any.
        draw: makes the picture; None shows the frame as it is.
        hidden: what the effects hide; None where no effect hid anything when the frame was searched. An effect that
            hides covers the whole picture then.
        events: what happened in this frame; see `app.processors.watching`.
        areas: the zones and lines that are watched, and their counts after this frame.
        add_readout: returns a picture with the read-out on it, and leaves the given one as it is; None adds none.
    """

    frame: Frame
    instances: "Instances"
    steps_ms: Mapping[str, float] = field(default_factory=dict)
    track_ids: tuple[int, ...] | None = None
    shades: tuple[int, ...] | None = None
    draw: "Callable[[Result], Picture] | None" = None
    hidden: Hidden | None = None
    events: tuple[Event, ...] = ()
    areas: tuple[AreaState, ...] = ()
    add_readout: "Callable[[Picture], Picture] | None" = None
    _plain: Once[Picture] = field(default_factory=Once, init=False, repr=False)
    _picture: Once[Picture] = field(default_factory=Once, init=False, repr=False)

    @property
    def plain(self) -> Picture:
        """The picture without the read-out: (H, W, 3) uint8 RGB, drawn once, as `picture` is."""
        return self._plain.get(self._draw)

    @property
    def picture(self) -> Picture:
        """What viewers see: (H, W, 3) uint8 RGB, drawn once, in the thread that first asks. Nobody writes into it."""
        return self._picture.get(lambda: self._with_readout(self.plain))

    def redraw(self) -> Picture:
        """Draw it again, with the controls as they are now: (H, W, 3) uint8 RGB."""
        return self._with_readout(self._draw())

    def _draw(self) -> Picture:
        return self.frame.image if self.draw is None else self.draw(self)

    def _with_readout(self, picture: Picture) -> Picture:
        return picture if self.add_readout is None else self.add_readout(picture)


Draw: TypeAlias = Callable[[Result], Picture]
AddReadout: TypeAlias = Callable[[Picture], Picture]
Cover: TypeAlias = Callable[[Picture | None], Picture | None]
"""What viewers see instead of the last picture while a source gives nothing; it returns None while frames come."""
