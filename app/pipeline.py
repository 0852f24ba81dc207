"""The data flow of a stream: capture, segment and draw each in a thread of its own, the sinks in the caller's."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from app.frames import Frame, Result

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Quit(Exception):  # noqa: N818 - an outcome, not an error
    """The viewer wants the run to end; a sink raises it from `write` or `idle`."""


class Source(Protocol):
    """Gives the frames of a camera, file or stream, once.

    Attributes:
        source_id: a name to show, without any password.
        is_live: frames are lost if not read.
        frame_rate: nominal frames per second, None where unknown. Never a clock: that is what `pts` is for.
        frame_count: how many frames there will be as far as the source says, None where it does not.
        frame_hw: (height, width) of the first frame; later ones may differ.
        time_base: seconds per tick of the frames' `pts`.
    """

    source_id: str
    is_live: bool
    frame_rate: float | None
    frame_count: int | None
    frame_hw: tuple[int, int]
    time_base: Fraction

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order; raise SourceError where they cannot be read."""
        ...

    def close(self) -> None:
        """Stop and release it. Another thread may call this: its read then ends within the source's timeout."""
        ...


class Segmenter(Protocol):
    """Turns frames into results, in order. It may hold some back until more frames come, and none once they have ended."""

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield a result for each frame."""
        ...


class Sink(Protocol):
    """Takes results: a window, a file, a page.

    Attributes:
        needs_picture: whether it looks at the picture; where no sink does, none is drawn.
    """

    needs_picture: bool

    def write(self, result: Result, picture: "npt.NDArray[np.uint8] | None") -> None:
        """Take a result and its (H, W, 3) uint8 RGB picture, which is None only if no sink needs it. May raise Quit."""
        ...

    def idle(self) -> None:
        """Do what must be done while nothing arrives; called some twenty times a second then. May raise Quit."""
        ...

    def close(self) -> None:
        """End it. Called once, in the thread that called `write`, whatever happened."""
        ...
