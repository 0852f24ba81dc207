"""The boxes of an MP4 file: whether the last one is whole, and how a cut one is taken away."""

import errno
import os
import struct
from pathlib import Path


def check_whole(path: Path, last_box: bytes) -> None:
    """Raise OSError unless `path` ends with a whole `last_box`: when the last write fails, FFmpeg does not tell."""
    boxes = complete_boxes(path)
    if not boxes or boxes[-1] != (last_box, path.stat().st_size):
        raise OSError(errno.EIO, "its end could not be written; the disk may be full")


def drop_cut_fragment(path: Path) -> None:
    """Cut `path` off behind its last whole fragment."""
    os.truncate(path, max((end for name, end in complete_boxes(path) if name in (b"moov", b"mdat")), default=0))


def show_fragments_again(path: Path) -> None:
    """Let the fragments of `path` be read again where FFmpeg has put them into one box and failed to write its index.

    FFmpeg's `hybrid_fragmented` reserves 16 bytes behind the first box. At the end it writes there the head of a box
    that holds all fragments.
    """
    with path.open("r+b") as file:
        first = file.read(4)
        if len(first) < 4:
            return
        place = struct.unpack(">I", first)[0]
        file.seek(place)
        head = file.read(16)
        if head[4:8] == b"mdat" or head[4:8] + head[12:16] == b"freemdat":
            file.seek(place)
            file.write(struct.pack(">I4s8x", 16, b"free"))


def complete_boxes(path: Path) -> list[tuple[bytes, int]]:
    """Name and end of the boxes in the row that an MP4 is, but not of a cut one: four bytes of length, four of name.

    A length of 1 says that the true one, of more than 4 GiB, stands in the eight bytes after the name.
    """
    size = path.stat().st_size
    boxes: list[tuple[bytes, int]] = []
    end = 0
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", header)
            if length == 1 and len(wide := file.read(8)) == 8:
                length = struct.unpack(">Q", wide)[0]
            end += length
            if length < len(header) or end > size:
                break
            boxes.append((name, end))
            file.seek(end)
    return boxes
