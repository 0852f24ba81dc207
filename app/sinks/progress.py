"""A progress line on the terminal."""

from tqdm import tqdm

from app.frames import Result
from app.pipeline import Picture


class ProgressSink:
    """Counts frames on standard error."""

    needs_picture = False

    def __init__(self, total: int | None) -> None:
        """Begin a line that ends at `total` frames, where that is known."""
        self._line = tqdm(total=total, unit="frame", dynamic_ncols=True)

    def write(self, result: Result, picture: Picture | None) -> None:
        """Count a frame."""
        self._line.update()

    def idle(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Leave the line as it stands."""
        self._line.close()
