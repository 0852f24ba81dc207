"""From batches of frames to results in the lanes: the thread that owns the device."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.stream.channel import Cancelled
from app.stream.collector import Batch, Collector
from app.stream.lane import RunningLane, Search
from solov2.ordered_map import ordered_map

if TYPE_CHECKING:
    from solov2 import Instances
    from solov2.predictor import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """A batch, and what the predictor found in those of its frames of which nothing was known.

    Attributes:
        batch: the batch.
        found: for each of these frames, in their order.
        search: what it looked for.
        steps_ms: milliseconds of each step for one of them.
    """

    batch: Batch
    found: "list[Instances]"
    search: Search
    steps_ms: Mapping[str, float]


def predict_all(predictor: "Predictor", lanes: Sequence[RunningLane]) -> None:
    """Give the frames of all lanes to the predictor, and each result to its lane, until all lanes have ended.

    As many batches are at work side by side as the predictor says; their results come in order. An error of the
    predictor is the end of every lane.
    """
    batches = Collector(lanes, predictor.batch_size)
    try:
        for predicted in ordered_map(lambda batch: _predict(predictor, batch), batches, predictor.workers):
            _deliver(predicted)
    except BaseException as error:
        for lane in lanes:
            lane.results.fail(error)


def _predict(predictor: "Predictor", batch: Batch) -> Predicted:
    """Ask for the lowest threshold and all labels that any lane wants; the lanes leave out what they do not want."""
    asked = [(lane, frame) for lane, frame, known in batch.frames if known is None]
    if not asked:
        return Predicted(batch, [], Search(1.0, ()), {})
    steps_ms: dict[str, float] = {}
    search = Search(min(lane.score_threshold for lane, _ in asked), _union([lane.labels for lane, _ in asked]))
    started = time.perf_counter()
    found = predictor.predict_batch([frame.image for _, frame in asked], search.threshold, search.labels, steps_ms)
    whole_ms = 1000 * (time.perf_counter() - started) / len(asked)
    return Predicted(batch, found, search, steps_ms or {"predict": whole_ms})


def _union(wanted: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    chosen = [labels for labels in wanted if labels is not None]
    return tuple(sorted({label for labels in chosen for label in labels})) if len(chosen) == len(wanted) else None


def _deliver(predicted: Predicted) -> None:
    """Give each result to its lane; the controls are read again, as a frame may have been at work for a while."""
    found = iter(predicted.found)
    for lane, frame, known in predicted.batch.frames:
        if known is not None:
            result = lane.result_of(frame, known)
        else:
            result = lane.found(frame, next(found), predicted.search, predicted.steps_ms)
        with suppress(Cancelled):  # the lane has ended
            lane.results.put(result)
    for lane in predicted.batch.ended:
        lane.results.finish()
