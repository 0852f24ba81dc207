"""The data flow of a stream: capture, segment and draw each in a thread of its own, the sinks in the caller's."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.stream.channel import Cancelled, Channel, Empty, Finished
from app.stream.frames import ControlPanel, Frame, Result
from app.stream.stats import StreamStats

Picture: TypeAlias = npt.NDArray[np.uint8]
Drawn: TypeAlias = tuple[Result, Picture | None]

TICK_SECONDS = 0.05
FRAMES_WAITING = 4
FRAMES_WAITING_WATCHED = 1  # where somebody looks on and moves sliders


def run(
    source: Source,
    segmenter: Segmenter,
    draw: Callable[[Result], Picture],
    sinks: Sequence[Sink],
    panel: ControlPanel,
    stats: StreamStats,
    *,
    max_frames: int | None = None,
    frames_waiting: int = FRAMES_WAITING,
) -> None:
    """Carry the frames of `source` to every sink until one side ends; see `stream` for arguments and errors."""
    results = stream(source, segmenter, draw, sinks, panel, stats, max_frames=max_frames, frames_waiting=frames_waiting)
    with closing(results):
        for _ in results:
            pass


def stream(
    source: Source,
    segmenter: Segmenter,
    draw: Callable[[Result], Picture],
    sinks: Sequence[Sink],
    panel: ControlPanel,
    stats: StreamStats,
    *,
    max_frames: int | None = None,
    frames_waiting: int = FRAMES_WAITING,
) -> Generator[Result, None, None]:
    """Carry the frames of `source` through `segmenter` and `draw` to every sink, and yield each result after that.

    A source that is not live is taken whole and in order, at the pace of the slowest part. Of a live one each part
    takes the newest that waits; what that replaced is counted as dropped, under "capture" if it was not yet segmented,
    else under "display". Closing the generator ends everything, as the end of the source does.

    Args:
        source: read in a thread of its own, and closed at the end.
        segmenter: called once, in a thread of its own.
        draw: makes a result's picture, in a thread of its own; called only while some sink needs pictures.
        sinks: written one after another in the caller's thread; each is closed at the end, whatever happened.
        panel: while its controls say paused, a live source is read and thrown away, and any other waits.
        stats: counts what happens.
        max_frames: end after so many results; None goes on to the source's end.
        frames_waiting: how many frames of a source that is not live may wait for the segmenter. The fewer, the younger
            is what somebody looks at; more make up for a source that is read unevenly.

    Raises:
        Exception: what a part raised, after everything that came before it was written. Quit ends the run in peace.
    """
    frames: Channel[Frame] = make_channel(source, frames_waiting, lambda: stats.dropped("capture"))
    results: Channel[Result] = make_channel(source, 2, lambda: stats.dropped("display"))
    pictures: Channel[Drawn] = make_channel(source, 2, lambda: stats.dropped("display"))
    threads: list[threading.Thread] = []
    try:
        threads.append(start("capture", capture, source, frames, panel, stats))
        threads.append(start("segment", segment, segmenter, frames, results, stats))
        threads.append(start("draw", draw_all, draw, results, pictures, sinks, stats))
        for shown, (result, picture) in enumerate(iterate_or_idle(pictures, source, sinks, panel), start=1):
            with timed(stats, "write"):
                for sink in sinks:
                    sink.write(result, picture)
            stats.displayed(result.frame.age_seconds())
            yield result
            if shown == max_frames:
                break
    except (Quit, GeneratorExit):
        pass
    finally:
        try:
            stop(source, [frames, results, pictures], threads)
        finally:
            close(sinks, failure=sys.exception())


def make_channel(source: Source, capacity: int, on_drop: Callable[[], None]) -> Channel[Any]:
    """The newest item alone of a live source, up to `capacity` of any other."""
    return Channel(1, "drop_oldest", on_drop) if source.is_live else Channel(capacity)


def start(name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run `work(*arguments)` in a new thread, which does not keep the process alive."""
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def propagate_outcome(channel: Channel[Any]) -> Iterator[None]:
    """Give `channel` the ending that the block has."""
    try:
        yield
    except Cancelled:
        channel.cancel()
    except BaseException as error:
        channel.fail(error)
    else:
        channel.finish()


@contextmanager
def timed(stats: StreamStats, step: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.perf_counter()
    yield
    stats.timed(step, (time.perf_counter() - started) * 1000)


def capture(source: Source, frames: Channel[Frame], panel: ControlPanel, stats: StreamStats) -> None:
    """Read the source to its end."""
    with propagate_outcome(frames):
        for frame in source:
            stats.captured()
            if source.is_live and panel.current.paused:
                stats.dropped("paused")
            else:
                frames.put(frame)


def segment(segmenter: Segmenter, frames: Channel[Frame], results: Channel[Result], stats: StreamStats) -> None:
    """Segment every frame. If `frames` fails, the segmenter first gives what it still holds."""
    failures: list[BaseException] = []

    def until_failure() -> Iterator[Frame]:
        try:
            yield from frames
        except BaseException as error:
            failures.append(error)

    with propagate_outcome(results):
        for result in segmenter(until_failure()):
            stats.segmented(result.steps_ms)
            results.put(result)
        for failure in failures:
            raise failure


def draw_all(
    draw: Callable[[Result], Picture],
    results: Channel[Result],
    pictures: Channel[Drawn],
    sinks: Sequence[Sink],
    stats: StreamStats,
) -> None:
    """Draw every result that somebody will look at."""
    with propagate_outcome(pictures):
        for result in results:
            picture = None
            if any(sink.needs_picture for sink in sinks):
                with timed(stats, "draw"):
                    picture = draw(result)
            pictures.put((result, picture))


def iterate_or_idle(
    pictures: Channel[Drawn], source: Source, sinks: Sequence[Sink], panel: ControlPanel
) -> Iterator[Drawn]:
    """Yield what arrives; while nothing does, or a source that can wait is paused, let the sinks do their idle work."""
    while True:
        try:
            if panel.current.paused and not source.is_live:
                time.sleep(TICK_SECONDS)
                raise Empty
            drawn = pictures.get(timeout=TICK_SECONDS)
        except Empty:
            for sink in sinks:
                sink.idle()
        except Finished:
            return
        else:
            yield drawn


def stop(source: Source, channels: Iterable[Channel[Any]], threads: Iterable[threading.Thread]) -> None:
    """End every thread; a source that is being read takes its timeout at most."""
    for channel in channels:
        channel.cancel()
    source.close()
    for thread in threads:
        thread.join()


def close(sinks: Sequence[Sink], failure: BaseException | None) -> None:
    """Close every sink, then raise the first error of a close, unless the run has a `failure` already."""
    errors: list[BaseException] = []
    for sink in sinks:
        try:
            sink.close()
        except BaseException as error:
            errors.append(error)
    if errors and failure is None:
        raise errors[0]


class Quit(Exception):  # noqa: N818 - an outcome, not an error
    """The viewer wants the run to end; a sink raises it from `write` or `idle`."""


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


class Segmenter(Protocol):
    """Turns frames into results, in order. It may hold some back while frames come, and none once they have ended."""

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield a result for each frame."""
        ...


class Sink(Protocol):
    """Takes results: a window, a file, a page."""

    @property
    def needs_picture(self) -> bool:
        """Whether it looks at the picture; where no sink does, none is drawn. May change while a stream runs."""
        ...

    def write(self, result: Result, picture: Picture | None) -> None:
        """Take a result and its (H, W, 3) uint8 RGB picture, which is None only if no sink needs it. May raise Quit."""
        ...

    def idle(self) -> None:
        """Do what must be done while nothing arrives; called some twenty times a second then. May raise Quit."""
        ...

    def close(self) -> None:
        """End it. Called once, in the thread that called `write`, whatever happened."""
        ...
