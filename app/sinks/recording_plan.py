"""What a recording is asked to do, and the names of its files."""

from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.stream.frames import Picture, Result

TIME = "{time}"


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """How a source is recorded. What makes several files is for live sources alone.

    Attributes:
        segment_seconds: a new file is begun after so long; None goes on in one.
        record_when: classes of which one must be seen for a picture to be recorded; None records all.
        pre_roll_seconds: with `record_when`, so much before the first of them is recorded, too.
        linger_seconds: with `record_when`, so long after the last of them the recording goes on.
        is_clean: record the source's pictures, without anything drawn.
        with_readout: record the read-out, too.
    """

    segment_seconds: float | None = None
    record_when: frozenset[str] | None = None
    pre_roll_seconds: float = 0.0
    linger_seconds: float = 5.0
    is_clean: bool = False
    with_readout: bool = False

    @property
    def makes_many(self) -> bool:
        """Whether there will be several files."""
        return self.segment_seconds is not None or self.record_when is not None

    def picture_of(self, result: "Result") -> "Picture":
        """Return the picture that is recorded of a result."""
        if self.is_clean:
            return result.frame.image
        return result.picture if self.with_readout else result.plain


class FileNames:
    """Names the files of one recording: the time is filled in, and no file of this run is written twice."""

    def __init__(self, template: Path, makes_many: bool) -> None:
        """Name files after `template`, in which `{time}` stands for when a file begins.

        Several files without it are numbered. A file that exists is replaced only if its whole name was given.
        """
        self._template, self._makes_many = template, makes_many
        self._used: set[Path] = set()

    def next(self, now: datetime | None = None) -> Path:
        """Return the name of the next file, which begins `now`."""
        filled = Path(str(self._template).replace(TIME, f"{now or datetime.now():%Y%m%d-%H%M%S}"))
        has_time = TIME in str(self._template)
        plain = [filled] if has_time or not self._makes_many else []
        names = chain(plain, (_numbered(filled, number) for number in count(1)))
        is_given = not (has_time or self._makes_many or self._used)
        path = next(name for name in names if name not in self._used and (is_given or not name.exists()))
        self._used.add(path)
        return path


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number:03d}{path.suffix}")
