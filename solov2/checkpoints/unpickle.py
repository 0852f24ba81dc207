"""Reading other people's `torch.save` files without running anything that they name.

A pickle is a program: it names functions and classes, and calls them. torch's restricted reader (`weights_only=True`)
knows the few names that tensors need and refuses all others, harmless training logs among them. Here every name is
listed before anything is read. One from Python's standard library that is no data container (`os.system`,
`builtins.eval`) makes the file refused; any other goes to the restricted reader with a stand-in that ignores what it
is called with.
"""

import builtins
import pickletools
import sys
import threading
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch

from solov2.errors import CheckpointError

_ZIP_START = b"PK\x03\x04"
_LEGACY_PICKLES = 5  # before torch 1.6: magic number, protocol, platform, the object, the keys of its storages
_TORCH_PROTOCOL = 2
_DATA_MODULES = {"collections", "copyreg", "datetime", "decimal", "fractions", "pathlib", "uuid"}
_DATA_NAMES = {"_codecs.encode", "argparse.Namespace", "types.SimpleNamespace"}
_DATA_NAMES |= {"builtins.getattr"}  # how members of an enum are written; its stand-in looks nothing up
_torch_safe_globals_lock = threading.Lock()  # torch keeps one list for the whole process


class _StandIn:
    """Takes the place of a class or function that is not run."""

    def __init__(self, *_arguments: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


class _DictStandIn:
    """Takes the place of a dictionary's class; the contents are kept, in a plain ordered dictionary."""

    def __new__(cls, *arguments: object) -> "OrderedDict[Any, Any]":  # type: ignore[misc]
        return OrderedDict(*(argument for argument in arguments if isinstance(argument, dict)))


def load_without_executing(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Read a file written by `torch.save`, in the zip format or the one before torch 1.6, onto the CPU.

    Returns:
        What was saved, and the names of the foreign classes whose objects were left out of it.

    Raises:
        CheckpointError: the file names a function that no weights need, or it is damaged.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            names, protocols = _scan(file)
            _refuse_functions(path, names)
            if protocols - {_TORCH_PROTOCOL}:
                raise CheckpointError(f"{path} has pickle protocol {max(protocols)}, need 2. Write it with torch.save.")
            file.seek(0)
            return _load(file, names), tuple(sorted(name for name in names if _is_foreign(name)))
        except (CheckpointError, OSError):
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise CheckpointError(
                f"{path} is damaged, incomplete or was not written by torch.save. Get the file again."
            ) from error


def _load(file: IO[bytes], names: set[str]) -> Any:
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_DictStandIn if name.lower().endswith("dict") else _StandIn, name) for name in names
    ]
    with _torch_safe_globals_lock, torch.serialization.safe_globals(stand_ins):  # names known to torch stay as they are
        return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_functions(path: Path, names: set[str]) -> None:
    wanted = sorted(name for name in names if _is_standard(name) and not _is_data(name))
    if wanted:
        raise CheckpointError(
            f"{path} asks to run {', '.join(wanted)}, which no weights need. Nothing was run; do not trust this file."
        )


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _is_data(name: str) -> bool:
    module, _, attribute = name.partition(".")
    is_builtin_class = module == "builtins" and isinstance(getattr(builtins, attribute, None), type)
    return module in _DATA_MODULES or name in _DATA_NAMES or is_builtin_class


def _is_foreign(name: str) -> bool:
    return not _is_standard(name) and not name.startswith("torch.")


def _scan(file: IO[bytes]) -> tuple[set[str], set[int]]:
    """Return the dotted names and the protocols in a file's pickles, without reading any of them as one."""
    names: set[str] = set()
    protocols: set[int] = set()
    for pickle in _pickles(file):
        strings: list[str] = []
        for opcode, argument in _opcodes(pickle):
            if opcode in ("GLOBAL", "INST"):
                names.add(_modern_name(*argument.split(" ", 1)))
            elif opcode == "STACK_GLOBAL":
                names.add(_modern_name(*strings[-2:]))
            elif opcode == "PROTO":
                protocols.add(argument)
            elif isinstance(argument, str):
                strings.append(argument)
    return names, protocols


def _pickles(file: IO[bytes]) -> Iterator[IO[bytes]]:
    is_zip = file.read(len(_ZIP_START)) == _ZIP_START
    file.seek(0)
    if is_zip:
        with zipfile.ZipFile(file) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(f"{file.name} is a TorchScript program, need weights written by torch.save.")
            yield from (BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith("/data.pkl"))
    else:
        yield from [file] * _LEGACY_PICKLES


def _opcodes(pickle: IO[bytes]) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            yield opcode.name, argument
    except ValueError:  # not a pickle from here on, which the reader will report
        return


def _modern_name(module: str = "?", name: str = "?") -> str:
    """Return `module.name` as Python 3 calls it."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
