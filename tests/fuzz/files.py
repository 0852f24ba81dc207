"""Hostile files: how they are given to a reader, and how whole ones are damaged."""

import hashlib
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
_WORDS = (
    b"NaN",
    b"null",
    b"-1",
    b"1e999",
    b"[[[[[[[[",
    b"{}",
    b'"',
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"%s%n",
    b"../",
)


@dataclass(frozen=True, slots=True)
class HostileFile:
    """The content of a file, with a name that says what is hostile about it."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        """Return a line for a report, whatever the length of the content."""
        digest = hashlib.sha256(self.content).hexdigest()[:12]
        return f"HostileFile({self.name!r}, {len(self.content)} bytes, SHA-256 {digest})"

    def write(self, path: Path) -> None:
        """Make the file."""
        path.write_bytes(self.content)


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that is made only when it is needed, because it is large; the name says what is hostile about it."""

    name: str
    make: Callable[[Path], object]

    def __repr__(self) -> str:
        """Return the name alone."""
        return f"MadeFile({self.name!r})"

    def write(self, path: Path) -> None:
        """Make the file."""
        self.make(path)


def reads_file(read: Callable[[Path], object], suffix: str) -> Callable[[HostileFile | MadeFile], None]:
    """Return a function that writes a file into a new folder and gives its path to `read`."""

    def check(file: HostileFile | MadeFile) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"hostile{suffix}"
            file.write(path)
            read(path)

    return check


def mutated(files: Sequence[HostileFile], max_mutations: int = 4) -> SearchStrategy[HostileFile]:
    """Return a strategy that damages one of `files` at one place or several."""

    @st.composite
    def damage(draw: st.DrawFn) -> HostileFile:
        file = draw(st.sampled_from(files))
        content, done = bytearray(file.content), []
        for _ in range(draw(st.integers(1, max_mutations))):
            mutation = draw(st.sampled_from(_MUTATIONS))
            place = draw(_places(len(content)))
            mutation(content, place, draw(st.integers(0, 255)))
            done.append(f"{mutation.__name__.strip('_')} at {place}")
        return HostileFile(f"{file.name}: {', '.join(done)}", bytes(content))

    return damage()


def _places(length: int) -> SearchStrategy[int]:
    """Return a strategy of offsets; half of them lie in the first or the last 512 bytes, where the headers are."""
    last = max(length - 1, 0)
    return st.one_of(
        st.integers(0, min(last, 511)),
        st.integers(max(last - 511, 0), last),
        st.integers(0, last),
        st.integers(0, last),
    )


def _flip(content: bytearray, place: int, value: int) -> None:
    if content:
        content[place] ^= 1 << (value % 8)


def _overwrite(content: bytearray, place: int, value: int) -> None:
    content[place : place + 1] = bytes([value])


def _number(content: bytearray, place: int, value: int) -> None:
    layout = ("<B", "<H", "<I", "<Q", ">H", ">I", ">Q")[value % 7]
    number = _NUMBERS[value % len(_NUMBERS)] & ((1 << (8 * struct.calcsize(layout))) - 1)
    content[place : place + struct.calcsize(layout)] = struct.pack(layout, number)


def _word(content: bytearray, place: int, value: int) -> None:
    content[place:place] = _WORDS[value % len(_WORDS)]


def _cut(content: bytearray, place: int, _value: int) -> None:
    del content[place:]


def _delete(content: bytearray, place: int, value: int) -> None:
    del content[place : place + value]


def _repeat(content: bytearray, place: int, value: int) -> None:
    content[place:place] = content[place : place + 16] * (value + 1)


def _zero(content: bytearray, place: int, value: int) -> None:
    end = min(place + value, len(content))
    content[place:end] = bytes(end - place)


_MUTATIONS = (_flip, _overwrite, _number, _word, _cut, _delete, _repeat, _zero)
