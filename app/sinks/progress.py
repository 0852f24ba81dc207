"""A progress line on the terminal."""

from tqdm import tqdm

from app.stream.frames import Result
from app.stream.parts import Sink


class ProgressSink(Sink):
    """Counts frames, or something else, on standard error."""

    in_callers_thread = True  # too little work for a thread of its own

    def __init__(
        self, total: int | None, label: str | None = None, done: int = 0, line: int = 0, unit: str = "frame"
    ) -> None:
        """Begin a line that ends at `total`, where that is known.

        Args:
            total: how many, those `done` before included.
            label: stands in front.
            done: so many were done before, and do not count in the rate.
            line: below so many other progress lines; such a line goes away at the end.
            unit: of what is counted.
        """
        self._line = tqdm(
            total=total, desc=label, initial=done, unit=unit, dynamic_ncols=True, position=line, leave=not line
        )

    def write(self, result: Result) -> None:
        """Count a frame."""
        self.count()

    def count(self) -> None:
        """Count one."""
        self._line.update()

    def close(self) -> None:
        """Leave the line as it stands."""
        self._line.close()
