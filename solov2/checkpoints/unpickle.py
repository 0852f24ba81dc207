"""Reading other people's `torch.save` files without running anything that they name.

A pickle is a program: it names functions and classes, and calls them. torch's restricted reader (`weights_only=True`)
knows the few names that tensors need and refuses all others, harmless training logs among them. Here every name is
listed before anything is read. One from Python's standard library that is no data container (`os.system`,
`builtins.eval`) makes the file refused, and so does one of torch that makes a tensor that is not dense, or memory that
the file does not hold; any other goes to the restricted reader with a stand-in that ignores what it is called with.
"""

import builtins
import mmap
import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch

from solov2.checkpoints.pickle_scan import PickleLimitError, PickleScan, Storage, scan_pickle
from solov2.checkpoints.torch_zip import ZIP_START, open_torch_zip
from solov2.errors import CheckpointError, few_of

_LEGACY_PICKLES = 5  # before torch 1.6: magic number, protocol, platform, the object, the keys of its storages
_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the first of them
_TORCH_PROTOCOL = 2
_DATA_MODULES = {"collections", "copyreg", "datetime", "decimal", "fractions", "pathlib", "uuid"}
_DATA_NAMES = {"_codecs.encode", "argparse.Namespace", "types.SimpleNamespace"}
_DATA_NAMES |= {"builtins.getattr"}  # how members of an enum are written; its stand-in looks nothing up
_STORAGE_BYTES = {
    **dict.fromkeys(("torch.DoubleStorage", "torch.LongStorage"), 8),
    **dict.fromkeys(("torch.FloatStorage", "torch.IntStorage"), 4),
    **dict.fromkeys(("torch.HalfStorage", "torch.BFloat16Storage", "torch.ShortStorage"), 2),
    **dict.fromkeys(("torch.ByteStorage", "torch.CharStorage", "torch.BoolStorage"), 1),
}
_DENSE = {f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "parameter", "parameter_with_state")}
_DENSE |= _STORAGE_BYTES.keys()
_MAKES_TENSORS = re.compile(r"torch\.(.*\.)?(_rebuild_\w+|\w*Tensor|\w*Storage|_get_layout)|builtins\.bytearray")
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

    Needs no more memory than the file has bytes, and some for the pickle.

    Returns:
        What was saved, and the names of the foreign classes whose objects were left out of it.

    Raises:
        CheckpointError: the file names a function that no weights need, claims what it does not hold, or is damaged.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            found = _scan(file)
            _refuse_protocols(path, found)
            file.seek(0)
            return _load(file, found.names), tuple(sorted(name for name in found.names if _is_foreign(name)))
        except PickleLimitError as error:
            raise CheckpointError(f"{path} {error}, which no weights need. Do not trust this file.") from error
        except (CheckpointError, OSError):
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise CheckpointError(
                f"{path} is damaged, incomplete or was not written by torch.save. Get the file again."
            ) from error


def _scan(file: IO[bytes]) -> PickleScan:
    """Return what is in a file's pickles, and refuse what must not be read, before any of them is."""
    path, found = Path(file.name), PickleScan()
    size = os.fstat(file.fileno()).st_size
    if file.read(len(ZIP_START)) == ZIP_START:
        archive = open_torch_zip(file)
        scan_pickle(archive.pickle, found)
        _refuse_names(path, found.names)
        for storage in found.storages.values():
            held = archive.storage_bytes.get(storage.key, 0)
            if _claimed_bytes(storage) > held:
                raise ValueError(f"{storage} has only {held} bytes")
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pickles:  # its `read` gives no more than there is
            for _ in range(_LEGACY_PICKLES):
                scan_pickle(cast(IO[bytes], pickles), found)
            _refuse_names(path, found.names)
            if found.protocols <= {_TORCH_PROTOCOL} and pickles[: len(_LEGACY_START)] != _LEGACY_START:
                raise ValueError("no magic number")
        claimed = sum(map(_claimed_bytes, found.storages.values()))
        if claimed > size:
            raise ValueError(f"the storages need {claimed} bytes, the file has {size}")
    return found


def _claimed_bytes(storage: Storage) -> int:
    return storage.numel * _STORAGE_BYTES[storage.kind]


def _load(file: IO[bytes], names: set[str]) -> Any:
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_DictStandIn if name.lower().endswith("dict") else _StandIn, name) for name in names
    ]
    with _torch_safe_globals_lock, torch.serialization.safe_globals(stand_ins):  # names known to torch stay as they are
        return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_names(path: Path, names: set[str]) -> None:
    wanted = sorted(name for name in names if _is_standard(name) and not _is_data(name))
    if wanted:
        raise CheckpointError(
            f"{path} asks to run {few_of(wanted)}, which no weights need. Nothing was run; do not trust this file."
        )
    unusual = sorted(name for name in names - _DENSE if _MAKES_TENSORS.fullmatch(name))
    if unusual:
        raise CheckpointError(
            f"{path} holds tensors that are not dense or of an unusual precision ({few_of(unusual, 2)}). "
            "Save the model's state_dict() alone, in float32, float16 or bfloat16."
        )


def _refuse_protocols(path: Path, found: PickleScan) -> None:
    if found.protocols - {_TORCH_PROTOCOL}:
        raise CheckpointError(f"{path} has pickle protocol {max(found.protocols)}, need 2. Write it with torch.save.")


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _is_data(name: str) -> bool:
    module, _, attribute = name.partition(".")
    is_builtin_class = module == "builtins" and isinstance(getattr(builtins, attribute, None), type)
    return module in _DATA_MODULES or name in _DATA_NAMES or is_builtin_class


def _is_foreign(name: str) -> bool:
    return not _is_standard(name) and not name.startswith("torch.")
