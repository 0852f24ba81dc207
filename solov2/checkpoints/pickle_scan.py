"""What a pickle names, how many values its storages claim, and how deep its tuples are, without reading it as a pickle.

The opcodes are run on descriptions in place of objects: a string, a number or a name stands for itself, a tuple for its
items, everything else for "some object". Nothing is imported, called or allocated.
"""

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

MAX_OPCODES = 500_000  # the largest published file has 70,000, an unfinished training of its network 250,000
MAX_NAMES = 1000
MAX_TUPLE_DEPTH = 100  # Python computes the hash of nested tuples recursively, and without a limit
MAX_HASHED = 20_000_000  # items of all containers, counted as often as Python would go through them for their hash
_MAX_NAME_LENGTH = 200
_CONSTANTS = ("NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT")
_FILLING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


class PickleLimitError(ValueError):
    """A pickle that no weights need; the message is the end of a sentence."""


class Storage(NamedTuple):
    """What a pickle says about a tensor's values: the class of their storage, its key in the file, their number."""

    kind: str
    key: str
    numel: int


@dataclass(slots=True)
class PickleScan:
    """What was found in one pickle or several.

    Attributes:
        names: dotted names of classes and functions, as Python 3 calls them.
        protocols: that the pickles say they are written in.
        storages: by key.
    """

    names: set[str] = field(default_factory=set)
    protocols: set[int] = field(default_factory=set)
    storages: dict[str, Storage] = field(default_factory=dict)


@dataclass(slots=True)
class _Value:
    """Describes an object.

    Attributes:
        known: a str, an int, the dotted name of a global, or a tuple's items; None for every other object.
        is_global: whether it is a class or function.
        size: itself and all items in it, as often as they are referred to.
        depth: levels of tuples.
    """

    known: Any = None
    is_global: bool = False
    size: int = 1
    depth: int = 0


_CONSTANT = _Value()


def scan_pickle(pickle: IO[bytes], found: PickleScan) -> None:
    """Add to `found` what the next pickle of a file holds, up to its end or to the first byte that is no opcode.

    Raises:
        PickleLimitError: it has more opcodes or names, or more deeply nested tuples, than weights need.
    """
    machine = _Machine(found)
    for count, (opcode, argument) in enumerate(_opcodes(pickle)):
        if count >= MAX_OPCODES:
            raise PickleLimitError(f"has a pickle of more than {MAX_OPCODES:,} instructions")
        if opcode.name == "PROTO":
            found.protocols.add(argument)
        machine.run(opcode, argument)
        if len(found.names) > MAX_NAMES:
            raise PickleLimitError(f"names more than {MAX_NAMES:,} classes and functions")


def _opcodes(pickle: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            yield opcode, argument
    except (ValueError, OverflowError, MemoryError):  # not a pickle from here on, which the reader will report
        return


class _Machine:
    """Runs opcodes on descriptions; what no pickler writes leaves "some object" on the stack."""

    def __init__(self, found: PickleScan) -> None:
        self._found = found
        self._stack: list[_Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, _Value] = {}
        self._hashed = 0

    def run(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        if name == "MARK":
            self._marks.append(len(self._stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1] if self._stack else _Value()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo.get(argument) or _Value())
        else:
            popped = self._pop(opcode.stack_before)
            self._hashed += sum(value.size for value in popped)
            if name == "REDUCE" and popped and isinstance(popped[-1].known, tuple):
                self._hashed += sum(item.size for item in popped[-1].known)  # a list in it may have been filled later
            if self._hashed > MAX_HASHED:
                raise PickleLimitError(f"has nested containers of more than {MAX_HASHED:,} items")
            self._stack += [self._result(name, argument, popped) for _ in opcode.stack_after]

    def _pop(self, expected: list[pickletools.StackObject]) -> list[_Value]:
        """Take from the stack what an opcode needs: everything after the last mark, a fixed number, or both."""
        popped: list[_Value] = []
        fixed = len(expected)
        if pickletools.markobject in expected:
            fixed = expected.index(pickletools.markobject)
            start = self._marks.pop() if self._marks else 0
            popped = self._stack[start:]
            del self._stack[start:]
        if fixed:
            popped = self._stack[-fixed:] + popped
            del self._stack[-fixed:]
        return popped

    def _result(self, name: str, argument: Any, popped: list[_Value]) -> _Value:
        if name in ("GLOBAL", "INST"):
            return self._global(*argument.split(" ", 1))
        if name == "STACK_GLOBAL":
            return self._global(*(str(value.known) for value in popped))
        if name == "BINPERSID":
            self._add_storage(popped)
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"):
            return _tuple_of(popped)
        elif name in ("REDUCE", "NEWOBJ"):  # the object made may be a tuple, too
            made = _tuple_of(popped)
            return _Value(size=made.size, depth=made.depth)
        elif name in _CONSTANTS:
            return _CONSTANT
        elif name in _FILLING and popped and popped[0] is not _CONSTANT:
            popped[0].size += sum(item.size for item in popped[1:])
            return popped[0]
        elif isinstance(argument, str | int):
            return _Value(argument)
        return _Value()

    def _global(self, module: str = "?", name: str = "?") -> _Value:
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        dotted = f"{module}.{name}"
        if len(dotted) > _MAX_NAME_LENGTH or not dotted.isprintable():
            raise PickleLimitError(f"names something by {len(dotted)} characters that are no name")
        self._found.names.add(dotted)
        return _Value(dotted, is_global=True)

    def _add_storage(self, popped: list[_Value]) -> None:
        items = popped[0].known if popped else None
        if not isinstance(items, tuple) or len(items) < 5 or items[0].known != "storage":
            raise PickleLimitError("refers to something in it that is no tensor")
        kind, key, numel = items[1], items[2].known, items[4].known
        if not kind.is_global or not isinstance(key, str) or not isinstance(numel, int) or numel < 0:
            raise PickleLimitError("refers to something in it that is no tensor")
        storage = Storage(kind.known, key, numel)
        if self._found.storages.setdefault(key, storage) != storage:
            raise PickleLimitError("says two different things about the values of a tensor")


def _tuple_of(items: list[_Value]) -> _Value:
    size, depth = 1 + sum(item.size for item in items), 1 + max((item.depth for item in items), default=0)
    if depth > MAX_TUPLE_DEPTH:
        raise PickleLimitError(f"has tuples nested in more than {MAX_TUPLE_DEPTH} levels")
    return _Value(tuple(items), size=size, depth=depth)
