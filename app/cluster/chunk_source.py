"""The frames of a chunk, with their places in the whole input."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.annotation.inputs import Input
from app.annotation.settings import Settings
from app.cluster.chunk import Chunk
from app.sources.file_source import FileSource, SelectedSource
from app.sources.pictures import PictureSource
from app.sources.stretch_decoding import InexactError, decode_stretch
from app.sources.video import open_video
from app.sources.wrapped import WrappedSource
from app.stream.frames import Frame
from app.stream.parts import Source


class ChunkSource(WrappedSource):
    """Gives exactly the frames of a chunk.

    Attributes:
        file: the opened file or pictures.
        first_picture: a digest of the first picture; empty before it was read.
        next_picture: a digest of the first picture of the next chunk, where a video has one.
    """

    def __init__(self, source: FileSource, chunk: Chunk) -> None:
        """Take over `source`, which gives the pictures of the chunk, and of a video the one after them."""
        super().__init__(source)
        self.file, self._chunk = source, chunk
        self.first_picture = self.next_picture = ""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            InexactError: one is missing.
        """
        count = 0
        for frame in self.file.frames():
            if frame.index != count:
                break
            if count == len(self._chunk.frames):
                self.next_picture = digest(frame)
                return
            if count == 0:
                self.first_picture = digest(frame)
            yield self._placed(frame)
            count += 1
        if count != len(self._chunk.frames):
            raise InexactError(f"{self.source_id}: frame {self._chunk.frames[count]} could not be read")

    def _placed(self, frame: Frame) -> Frame:
        index = self._chunk.frames[frame.index]
        return replace(frame, index=index, pts=frame.pts if self._chunk.stretch else index)


def open_chunk(one: Input, chunk: Chunk, settings: Settings, uses_gpu: bool) -> Source:
    """Return the source of a chunk.

    Raises:
        SourceError: it cannot be read.
    """
    if chunk.is_whole:
        return SelectedSource(one.open(uses_gpu), settings.selection())
    if chunk.stretch is None:
        return ChunkSource(PictureSource(str(one.path), [one.pictures[index] for index in chunk.frames]), chunk)
    decode = partial(decode_stretch, chunk.stretch)
    return ChunkSource(open_video(Path(one.path), uses_gpu, decode), chunk)


def digest(frame: Frame) -> str:
    """Return thirty-two hexadecimal digits that change with any pixel."""
    return hashlib.blake2b(frame.image.tobytes(), digest_size=16).hexdigest()
