"""From the names on a command line to inputs: videos and sequences of pictures, each with a name for its outputs."""

import glob
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.annotation.object_store import file_size, find_files, open_file, shown_address, store_address, store_protocol
from app.sources import open_source, redact
from app.sources.address import scheme_of
from app.sources.pictures import PictureSource, files_in, natural_order
from app.sources.video import VIDEO_SUFFIXES
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from app.sources.file_source import FileSource

DEMO = "demo"
_NUMBERED = re.compile(r"%0?(\d*)d")
_PROBED_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Input:
    """Something to annotate.

    Attributes:
        path: of the video, of the folder of the pictures, or of the only picture: what a user is told.
        pictures: the files of a sequence in order; empty for a video.
        name: of the folder for its outputs, unlike every other's.
        is_demo: whether it is the built-in clip, and not a file.
        protocol: of the object store that holds it, such as "s3"; empty for a file of this machine.
    """

    path: Path
    pictures: tuple[Path, ...] = ()
    name: str = ""
    is_demo: bool = False
    protocol: str = ""

    @property
    def title(self) -> str:
        """The file's or folder's own name."""
        return os.path.basename(os.path.abspath(self.path))

    @property
    def shown(self) -> str:
        """What a user is told: the path, or the address in an object store."""
        return store_address(self.protocol, self.path) if self.protocol else str(self.path)

    def open(self, uses_gpu: bool = False) -> "FileSource":
        """Return its source; a video's is decoded on the NVIDIA device if `uses_gpu` and that works.

        Raises:
            SourceError: it cannot be read.
        """
        if self.pictures:
            return PictureSource(str(self.path), list(self.pictures))
        return open_source(DEMO if self.is_demo else os.path.join(self.path.parent, self.path.name), uses_gpu)  # type: ignore[return-value]  # a path never is a live source

    def file_name(self, index: int) -> str | None:
        """The name of the picture with this index; None for a video."""
        return self.pictures[index].name if self.pictures else None

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the content: sizes and names, and both ends of a video.

        Raises:
            SourceError: it cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for path in self.pictures or (() if self.is_demo else (self.path,)):
                digest.update(f"{path.name if self.pictures else ''}:{self._size(path)};".encode())
            if not self.pictures and not self.is_demo:
                digest.update(self._both_ends())
        except OSError as error:
            raise SourceError(f"could not read {self.shown}: {error.strerror or error}") from error
        return digest.hexdigest()[:16]

    def _size(self, path: Path) -> int:
        return file_size(self.protocol, path) if self.protocol else path.stat().st_size

    def _both_ends(self) -> bytes:
        size = self._size(self.path)
        with open_file(self.protocol, self.path) if self.protocol else self.path.open("rb") as file:
            start = file.read(_PROBED_BYTES)
            file.seek(max(0, size - _PROBED_BYTES))
            return start + file.read(_PROBED_BYTES)


def find_inputs(
    names: Iterable[str], outputs: Path, listing: Iterable[str] | None = None, *, allows_stores: bool = False
) -> list[Input]:
    """Return the inputs that `names` stand for, each once, in their order.

    Args:
        names: of files, folders (the videos in it one by one, its pictures as one sequence), globs, sequences such as
            `frames/%04d.png`, `.txt` files that list names line by line, or `-` for such a list on standard input. The
            pictures of one folder become one sequence, however they are named.
        outputs: what lies in it never is an input, so that a glob does not find what an earlier run made.
        listing: the lines that `-` stands for; None means standard input.
        allows_stores: names may be addresses in object stores, such as `s3://bucket/clips/*.mp4`.

    Raises:
        SourceError: a name stands for nothing.
    """
    found: dict[str, tuple[Input, dict[Path, None]]] = {}
    own = outputs.resolve()
    for name in _with_lists(names, listing):
        protocol = store_protocol(name) if allows_stores else ""
        for path in _in_store(name) if protocol else _files(name):
            if name != DEMO:
                _check_name(path)
            if not protocol and own in path.resolve().parents:
                if path == Path(name):
                    raise SourceError(f"{name} lies in --out {outputs}, where only outputs are: choose another --out")
                continue
            is_picture = path.suffix.lower() in PICTURE_SUFFIXES
            place = path.parent if is_picture else path
            one = Input(place, is_demo=name == DEMO, protocol=protocol)
            key = DEMO if name == DEMO else f"{protocol}:{os.path.abspath(place)}"
            _, pictures = found.setdefault(key, (one, {}))
            if is_picture:
                pictures[path] = None
    if not found:
        raise SourceError("no input: name videos, pictures, folders or globs of them, a .txt file with names, or -")
    inputs = [
        replace(one, path=next(iter(pictures)) if len(pictures) == 1 else one.path, pictures=tuple(pictures))
        for one, pictures in found.values()
    ]
    return [replace(one, name=name) for one, name in zip(inputs, _unique_names(inputs), strict=True)]


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SourceError(f"{str(path)!a}: the name is not valid Unicode. Rename the file") from None


def _with_lists(names: Iterable[str], listing: Iterable[str] | None) -> Iterator[str]:
    """Yield the names, and in place of a list the names in it; empty lines and comments are left out."""
    for name in names:
        if name == "-":
            yield from _entries(sys.stdin if listing is None else listing)
        elif name.lower().endswith(".txt") and os.path.isfile(name):
            try:
                with open(name, encoding="utf-8") as file:
                    yield from _entries(file)
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"could not read {name} as a list of names: {error}") from error
        else:
            yield name


def _entries(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if (entry := line.removeprefix("\N{BYTE ORDER MARK}").strip()) and not entry.startswith("#"):
            yield entry


def _files(name: str) -> list[Path]:
    """The files that one name stands for.

    Raises:
        SourceError: there is none.
    """
    if scheme_of(name) is not None:
        other = ", or add --ray local, which reads object stores" if store_protocol(name) else ""
        raise SourceError(f"{redact(name)} is an address: save it as a file first, and annotate that{other}")
    path = Path(name)
    if name == DEMO or os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        return _known(files_in(path)) or _nothing(f"no video and no picture in the folder {name}")
    if _NUMBERED.search(path.name):
        return _numbered(path) or _nothing(f"no pictures are called {name}")
    if glob.has_magic(name):
        return _known(map(Path, glob.glob(name, recursive=True))) or _nothing(f"no video and no picture matches {name}")
    return _nothing(f"no such file or folder: {name}")


def _in_store(address: str) -> list[Path]:
    """The videos and pictures that an address in an object store stands for; raise SourceError if there is none."""
    paths = [path for path in find_files(address) if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES]
    return _in_order(paths) or _nothing(f"no video and no picture at {shown_address(address)}")


def _nothing(message: str) -> list[Path]:
    raise SourceError(message)


def _known(paths: Iterable[Path]) -> list[Path]:
    """Those that look like videos or pictures, folder by folder in natural order."""
    return _in_order(
        path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES and path.is_file()
    )


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (str(path.parent), natural_order(path)))


def _numbered(pattern: Path) -> list[Path]:
    """The files of a sequence such as `frames/%04d.png`, by number; there may be gaps."""
    before, after = _NUMBERED.split(pattern.name)[0], _NUMBERED.split(pattern.name)[-1]
    name = re.compile(rf"{re.escape(before)}\d+{re.escape(after)}")
    if not pattern.parent.is_dir():
        return []
    return sorted((path for path in pattern.parent.iterdir() if name.fullmatch(path.name)), key=natural_order)


def _unique_names(inputs: Sequence[Input]) -> list[str]:
    """A name for each input, no two alike: the shortest of its names that no other input could be called, too.

    That is its stem, or else its whole name, with its folder, or with a number.
    """
    choices = [_possible_names(one) for one in inputs]
    takers = Counter(name.casefold() for names in choices for name in names)
    return [
        next((name for name in names if takers[name.casefold()] == 1), f"{names[-1]}_{number}")
        for number, names in enumerate(choices, start=1)
    ]


def _possible_names(one: Input) -> list[str]:
    path = Path(os.path.abspath(one.path))
    stem = path.name if len(one.pictures) > 1 else path.stem
    names = [stem or "root", path.name or "root", f"{path.parent.name}_{path.name}"]
    return list(dict.fromkeys(map(_folder_name, names)))


def _folder_name(name: str) -> str:
    """Return `name`, or another one if it would lead elsewhere or is that of a lock."""
    is_taken = not name.strip(". ") or (name.startswith(".") and name.endswith(".lock"))
    return f"_{name}" if is_taken else name
