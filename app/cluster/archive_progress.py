"""Progress lines of the whole and of each worker, on a terminal."""

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from app.cluster.archive_input import ArchiveInput
from app.cluster.pool import WorkerState

MAX_WORKER_LINES = 16


class ArchiveProgress:
    """A line for the frames of all inputs, and one for each worker that is there; nothing where it is disabled."""

    def __init__(self, is_shown: bool) -> None:
        """Begin the first line."""
        self._is_shown = is_shown
        self._whole = tqdm(desc="frames", unit="frame", dynamic_ncols=True, disable=not is_shown, position=0)
        self._lines: list[tqdm[Any]] = []

    def show(self, inputs: Sequence[ArchiveInput], states: Sequence[WorkerState]) -> None:
        """Bring all lines up to date."""
        if not self._is_shown:
            return
        new = sum(one.new_frames for one in inputs)
        planned = [one for one in inputs if one.expected is not None]
        self._whole.total = sum(max(one.expected or 0, one.frames) for one in planned) or None
        self._whole.initial = max(0, sum(one.frames for one in planned) - new)
        self._whole.n = self._whole.initial + new
        left = sum(one.failure is None and one.expected is None for one in inputs)
        self._whole.set_postfix_str(f"{left} inputs not begun" if left else "", refresh=False)
        self._whole.refresh()
        self._show_workers([state for state in states if state.doing != "ended"][:MAX_WORKER_LINES])

    def close(self) -> None:
        """Leave the first line as it stands, and remove the others."""
        for line in self._lines:
            line.close()
        self._whole.close()

    def _show_workers(self, states: Sequence[WorkerState]) -> None:
        while len(self._lines) < len(states):
            position = len(self._lines) + 1
            self._lines.append(tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True, position=position))
        for line, state in zip(self._lines, states, strict=False):
            line.set_description_str(worker_line(state))


def worker_line(state: WorkerState) -> str:
    """Return what a worker does and has done, on one line."""
    done = f"{state.chunks} chunks, {state.frames} frames, {state.fps:.1f} fps"
    return f"{state.name}: {state.doing}; {done}"
