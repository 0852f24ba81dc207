"""What an interrupted run has recorded, brought back: instances of frames, and the state of the tracker."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from app.annotation.jsonl_lines import read_instances
from app.processors.observation import observations
from app.processors.tracker import Tracker
from app.stream.frames import Frame
from app.stream_errors import AppError
from solov2 import Instances
from solov2.pixels import Size

Lines = Iterable[Mapping[str, Any]]


class Recorded:
    """Knows what is in the first frames, because it was recorded: a stream's `Recall`."""

    def __init__(self, lines: Lines) -> None:
        """Keep the lines of these frames, in order."""
        self._lines = iter(lines)

    def __call__(self, frame: Frame) -> Instances | None:
        """Return the instances of the next frame; None once nothing more is recorded.

        Raises:
            AppError: it is not the frame that was recorded in its place.
        """
        line = next(self._lines, None)
        if line is None:
            return None
        if (frame.index, frame.pts) != (line["frame"], line["pts"]):
            raise AppError(
                f"{frame.source_id} gave another frame {line['frame']} when it was recorded: delete what was "
                "written about it, and run the same command again"
            )
        return read_instances(line["instances"], (frame.image.shape[0], frame.image.shape[1]))


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
        tracker.update(observations(read_instances(line["instances"], size)), float(line["pts"] * time_base))
