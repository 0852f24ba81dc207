"""From what the model finds to what is recorded, with ids that last; and from a recording back to results."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from app.annotation.jsonl_lines import as_recorded, read_instances
from app.processors.observation import observations
from app.processors.tracker import Tracker
from app.stream.channel import Channel
from app.stream.frames import Frame, Result
from app.stream.pipeline import Segmenter, propagate_outcome, start
from app.stream_errors import AppError
from solov2 import Instances
from solov2.decoding.geometry import Size

Lines = Iterable[Mapping[str, Any]]


class Recorder:
    """A segmenter that first takes what was recorded about frames, and asks another segmenter about the others.

    The other one runs in a thread of its own, so that the device does not wait while masks are brought to the picture's
    size. Results are `as_recorded`.
    """

    def __init__(self, segmenter: Segmenter, tracker: Tracker | None = None, recorded: Lines = ()) -> None:
        """Keep the parts.

        Args:
            segmenter: knows frames that are not recorded.
            tracker: gives the ids; None gives none.
            recorded: the lines of the frames that come first.
        """
        self._segmenter, self._tracker, self._recorded = segmenter, tracker, recorded

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield the result of each frame.

        Raises:
            AppError: a frame is not the one that was recorded in its place.
        """
        remaining = iter(frames)
        for line in self._recorded:
            frame = next(remaining, None)
            if frame is None:
                return
            if (frame.index, frame.pts) != (line["frame"], line["pts"]):
                raise AppError(
                    f"{frame.source_id} gave another frame {line['frame']} when it was recorded: delete what was "
                    "written about it, and run the same command again"
                )
            instances = read_instances(line["instances"], _hw(frame))
            yield self._tracked(Result(frame, instances, {}))
        for result in run_ahead(self._segmenter, remaining):
            yield self._tracked(as_recorded(result))

    def _tracked(self, result: Result) -> Result:
        if self._tracker is None:
            return result
        ids = track(self._tracker, result.instances, result.frame.pts_seconds)
        return dataclasses.replace(result, track_ids=ids)


def rebuild(tracker: Tracker, lines: Lines, image_hw: Size, time_base: Fraction) -> None:
    """Bring `tracker` into the state that it had after the frames of `lines`.

    Args:
        tracker: knows nothing yet.
        lines: of the frames so far.
        image_hw: of frames whose line says nothing else.
        time_base: seconds per tick of their `pts`.
    """
    for line in lines:
        size = line.get("height", image_hw[0]), line.get("width", image_hw[1])
        track(tracker, read_instances(line["instances"], size), float(line["pts"] * time_base))


def track(tracker: Tracker, instances: Instances, seconds: float) -> tuple[int, ...]:
    """Return the ids of `instances`, which are `as_recorded`, in a frame at `seconds`."""
    return tuple(tracker.update(observations(instances), seconds))


def run_ahead(segmenter: Segmenter, frames: Iterable[Frame]) -> Iterator[Result]:
    """Yield what `segmenter` gives, while it is at work on the next frames in a thread of its own."""
    results: Channel[Result] = Channel(2)

    def work() -> None:
        with propagate_outcome(results):
            for result in segmenter(frames):
                results.put(result)

    thread = start("network", work)
    try:
        yield from results
    finally:
        results.cancel()
        thread.join()


def _hw(frame: Frame) -> Size:
    return frame.image.shape[0], frame.image.shape[1]
