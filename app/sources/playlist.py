"""Several files one after the other, on one clock that goes on."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from app.sources.pictures import files_in, natural_order
from app.sources.video import VIDEO_SUFFIXES
from app.stream.frames import Frame
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from app.stream.parts import Source

Open = Callable[[], "Source"]


class PlaylistSource:
    """Opens one source after the other; the timestamps of each follow those of the one before."""

    frame_count: int | None = None

    def __init__(self, source_id: str, openers: Iterable[Open]) -> None:
        """Open the first source.

        Args:
            source_id: a name to show.
            openers: open the sources, none of them live; at least one.

        Raises:
            SourceError: the first one cannot be opened.
        """
        self.source_id = source_id
        self._openers = iter(openers)
        self._source = next(self._openers)()
        self._closed = threading.Event()
        self.is_live = self._source.is_live
        self.frame_rate = self._source.frame_rate
        self.frame_hw = self._source.frame_hw
        self.time_base = self._source.time_base

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of all, until the last one ends or one has none.

        Raises:
            SourceError: one cannot be opened or read to its end; those after it are not opened.
        """
        index = itertools.count()
        next_pts = 0
        is_first = True
        while not self._closed.is_set():
            shift = None  # from this source's clock, which may begin anywhere, to the one that goes on
            for frame in self._source:
                pts = round(frame.pts * frame.time_base / self.time_base)
                if shift is None:
                    shift = 0 if is_first else next_pts - pts
                    is_first = False
                yield dataclasses.replace(frame, pts=pts + shift, time_base=self.time_base, index=next(index))
                next_pts = pts + shift + self._ticks_per_frame()
            following = next(self._openers, None)
            if shift is None or following is None:
                return
            if not self._closed.is_set():
                self._source = following()

    def close(self) -> None:
        """Stop at the next frame."""
        self._closed.set()
        self._source.close()

    def _ticks_per_frame(self) -> int:
        rate = self._source.frame_rate
        return max(1, round(1 / (Fraction(rate).limit_denominator(1001) * self.time_base))) if rate else 1


def videos_in(paths: Iterable[Path]) -> list[Path]:
    """Return the video files among `paths`, sorted so that `9.mp4` comes before `10.mp4`."""
    return sorted((path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES), key=natural_order)


def files_of(spec: str, found: Iterable[Path]) -> list[Path]:
    """Return the videos that match a pattern, or else the pictures.

    Raises:
        SourceError: there is neither.
    """
    paths = [path for path in found if path.is_file()]
    pictures = sorted((path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES), key=natural_order)
    if files := videos_in(paths) or pictures:
        return files
    raise SourceError(
        f"no video and no picture matches {spec}. Quote the pattern, and name files such as 'clips/*.mp4'"
    )


def holds_videos_alone(folder: Path) -> bool:
    """Whether a folder holds videos and no pictures; raise SourceError if it cannot be read."""
    files = files_in(folder)
    return bool(videos_in(files)) and not any(path.suffix.lower() in PICTURE_SUFFIXES for path in files)
