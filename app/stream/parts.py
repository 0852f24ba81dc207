"""What a stream is made of: sources, processors and sinks. The model is a `solov2.predictor.Predictor`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import ClassVar, Literal, Protocol, TypeAlias

from app.stream.frames import Frame, Result

Processor: TypeAlias = Callable[[Result], Result]
"""Changes or completes a result. Called with the results of one source, in order, always in the same thread."""

Policy: TypeAlias = Literal["every", "latest"]


class Source(Protocol):
    """Gives the frames of a camera, file or stream, once.

    Attributes:
        source_id: a name to show, without any password.
        is_live: frames are lost if not read.
        frame_rate: nominal frames per second, None where unknown. Never a clock: that is what `pts` is for.
        frame_count: about how many frames there will be as far as the source says, None where it does not.
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


class Sink(ABC):
    """Takes results: a window, a file, a page. A class of your own need only define `write`.

    Each sink has a queue, and a thread that calls its methods: one of its own, or the one that runs the stream.

    Attributes:
        policy: "every": it gets every result of a file, which waits for it; results of a live source that do not fit
            into its queue are dropped, and counted under "sink". "latest": it gets the newest result whenever it is
            ready for one, for those who look on; what that replaced is counted under "display".
        in_callers_thread: its methods are called in the thread that runs the stream, as windows must be.
    """

    policy: ClassVar[Policy] = "every"
    in_callers_thread: ClassVar[bool] = False

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take a result; its `picture` is drawn when it is asked for. May raise Quit."""

    def idle(self) -> None:  # noqa: B027 - most sinks have no such work
        """Do what must be done while nothing arrives; called some twenty times a second then. May raise Quit."""

    def close(self) -> None:  # noqa: B027 - some sinks have nothing to end
        """End it. Called once, in the thread that calls `write`, whatever happened."""


class Quit(Exception):  # noqa: N818 - an outcome, not an error
    """The viewer wants the run to end; a sink raises it from `write` or `idle`."""
