"""A source of which a selection can be read, and the source that gives only the selection."""

from collections.abc import Iterator
from typing import Protocol

from app.sources.selection import EVERYTHING, Selection
from app.sources.wrapped import WrappedSource
from app.stream.frames import Frame
from app.stream.parts import Source


class FileSource(Source, Protocol):
    """A source that is not live, of which a selection can be read."""

    def frames(self, selection: Selection = EVERYTHING) -> Iterator[Frame]:
        """Yield the selected frames in order; raise SourceError where they cannot be read."""
        ...


class SelectedSource(WrappedSource):
    """A selection of the frames of another source."""

    def __init__(self, source: FileSource, selection: Selection) -> None:
        """Take over `source`."""
        super().__init__(source)
        self._file, self._selection = source, selection

    def __iter__(self) -> Iterator[Frame]:
        """Yield the selected frames; raise what the source raises."""
        return self._file.frames(self._selection)
