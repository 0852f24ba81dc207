"""Pickles that no pickler writes, in the zip files of `torch.save` and in the format before them."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.checkpoints.weights import save, small_weights
from tests.fuzz.files import HostileFile, MadeFile

_GB = 1 << 30


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _call(name: str, argument: bytes) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode() + argument + b"\x85R"


def _long(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _doubled(start: bytes, join: bytes, after: bytes = b"") -> bytes:
    """Return opcodes that push objects of 1, 2, 4 ... 2^59 parts, which the memo keeps under 0 to 59."""
    steps = (b"(h" + bytes([i]) + b"h" + bytes([i]) + join + b"q" + bytes([i + 1]) + after for i in range(59))
    return start + b"q\x00" + after + b"".join(steps)


def _storage(kind: str = "torch\nFloatStorage", key: bytes = _text("0"), numel: bytes = b"K\x04") -> bytes:
    return b"(" + _text("storage") + b"c" + kind.encode() + b"\n" + key + _text("cpu") + numel + b"tQ"


def _tensor(storage: bytes, shape: bytes = b"K\x04\x85", strides: bytes = b"K\x01\x85") -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + strides
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def _weight(tensor: bytes) -> bytes:
    return b"}" + _text("weight") + tensor + b"s"


PICKLES: dict[str, bytes] = {
    "a tuple whose hash takes 2^59 steps": b"}(" + _doubled(b")", b"t", after=b"N") + b"u",
    "a tuple nested in 200,000 levels as a key": b"})" + b"\x85" * 200_000 + b"K\x01s",
    "a set of tuples whose hash takes 10^10 steps": b"}" + _text("a")
    + _call("builtins.set", b"](" + b"(" + b"N" * 100_000 + b"tq\x00" + b"h\x00" * 100_000 + b"e") + b"s",
    "lists nested in 20,000 levels": b"}" + _text("a") + b"]" * 20_000 + b"a" * 19_999 + b"s",
    "a list in itself": b"}" + _text("class_names") + b"]q\x00h\x00ah\x00as",
    "class names of 2^59 parts": b"}(" + _text("state_dict") + b"}" + _text("mask_head.conv_cls.weight")
    + _tensor(_storage()) + b"s" + _text("more") + b"](" + _doubled(b"]", b"t") + b"e"
    + _text("class_names") + b"](" + b"h\x3b" * 4 + b"eu",
    "a bytearray of 3 GB": _call("builtins.bytearray", _long(3 * _GB)),
    "a float tensor of 3 GB": _call("torch.FloatTensor", _long(_GB)),
    "a storage of 3 GB": _call("torch.storage.UntypedStorage", _long(3 * _GB)),
    "a size of nested tuples": _call("torch.Size", b"((K\x01ttt"),
    "a counter of numbers": _call("collections.Counter", b"](K\x01K\x02e"),
    "an ordered dictionary of a number": _call("collections.OrderedDict", b"K\x01"),
    "a foreign dictionary of two": b"cplugin\nConfigDict\n}}\x86R",
    "a storage claims 4 GB": _weight(_tensor(_storage(numel=_long(_GB)), _long(_GB) + b"\x85")),
    "a storage claims 2^62 values": _weight(_tensor(_storage(numel=_long(1 << 62)))),
    "a storage of fewer than no values": _weight(_tensor(_storage(numel=_long(-4)))),
    "a storage that is not there": _weight(_tensor(_storage(key=_text("gone")))),
    "a storage with a number as its key": _weight(_tensor(_storage(key=b"K\x00"))),
    "a storage in another folder": _weight(_tensor(_storage(key=_text("../../data/0")))),
    "a storage of text": _weight(_tensor(_storage(kind="builtins\nstr"))),
    "a storage of 5 parts that are none": b"(NNNNNtQ",
    "a storage that is a number": b"K\x05Q",
    "one storage of two sizes": b"}(" + _text("a") + _storage() + _text("b") + _storage(numel=b"K\x05") + b"u",
    "a tensor of fewer than no rows": _weight(_tensor(_storage(), _long(-4) + b"\x85")),
    "a tensor with strides of 2^62": _weight(_tensor(_storage(), strides=_long(1 << 62) + b"\x85")),
    "a tensor with negative strides": _weight(_tensor(_storage(), strides=_long(-1) + b"\x85")),
    "a tensor of text": _weight(_tensor(_text("storage"))),
    "text of 4 GB that is not there": b"X\xff\xff\xff\xff",
    "text of 2^60 bytes that is not there": b"\x8d" + struct.pack("<Q", 1 << 60),
    "text that is no UTF-8": b"X\x02\x00\x00\x00\xff\xfe",
    "a memo that is not there": b"h\x07",
    "a memo of 2^32": b"Nr\xff\xff\xff\xff",
    "more taken from the stack than there is": b"\x87\x87ssu",
    "no mark": b"t",
    "a name without a module": b"c\n\n",
    "a name of control characters": b"c\x1b[2J\nx\n",
    "a name of a megabyte": b"c" + b"x" * 1_000_000 + b"\ny\n",
    "5,000 names": b"](" + b"".join(f"cplugin\nf{i}\n".encode() for i in range(5000)) + b"e",
    "a number of 255 bytes": b"\x8a\xff" + b"\x7f" * 255,
    "a number of 2^31 bytes": b"\x8b\xff\xff\xff\x7f",
    "an old string": b"S'\\xff\\x00'\n",
    "an old number": b"I99999999999999999999999999\n",
    "an extension": b"\x82\x01",
    "a frame of 2^60 bytes": b"\x95" + struct.pack("<Q", 1 << 60),
    "an attribute set on a function": b"ctorch._utils\n_rebuild_tensor_v2\n}" + _text("a") + b"Nsb",
    "a call of a call": _call("builtins.getattr", b"ctorch\nload\n") + b")R",
    "nothing": b"",
}  # fmt: skip


def pickle_files() -> list[HostileFile]:
    """Return each odd pickle in a zip file, and in the format before torch 1.6."""
    files = []
    for name, body in PICKLES.items():
        whole = b"\x80\x02" + body + b"."
        files.append(HostileFile(f"zip, pickle: {name}", _in_zip(whole)))
        files.append(HostileFile(f"legacy, pickle: {name}", _legacy(whole)))
    for protocol in range(6):
        files.append(HostileFile(f"protocol {protocol}", pickle.dumps({"a": [1.5, "b"], "state_dict": {}}, protocol)))
    many = b"\x80\x02](" + b"N" * 2_000_000 + b"e."
    return [*files, HostileFile("two million opcodes", _in_zip(many))]


def _legacy(body: bytes) -> bytes:
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + body + pickle.dumps(["0"], 2) + struct.pack("<Q", 4) + bytes(16)


def _in_zip(body: bytes, **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"data.pkl": body, "byteorder": b"little", "data/0": bytes(16), "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", content)
        for name, content in more.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def whole_file(layout: str) -> HostileFile:
    """Return small weights as `torch.save` writes them, to be damaged."""
    buffer = io.BytesIO()
    torch.save({"state_dict": small_weights(), "meta": {"CLASSES": ("a", "b"), "epoch": 3}}, buffer,
               _use_new_zipfile_serialization=layout == "zip")  # fmt: skip
    return HostileFile(f"small weights, {layout}", buffer.getvalue())


def zip_files() -> list[HostileFile | MadeFile]:
    """Return zip files that `torch.save` does not write."""
    good = b"\x80\x02" + _weight(_tensor(_storage())) + b"."
    whole = _in_zip(good)
    entries = {f"archive/more/{i}": b"" for i in range(70_000)}
    made: list[HostileFile | MadeFile] = [
        HostileFile("a second pickle", _in_zip(good, **{"other/data.pkl": good})),
        HostileFile("a second pickle, in capitals", _in_zip(good, **{"archive/DATA.PKL": good})),
        HostileFile("entries outside of the folder", _in_zip(good, **{"../../evil": b"x", "/etc/evil": b"x"})),
        HostileFile("70,000 entries", _in_zip(good, **entries)),
        HostileFile("TorchScript", _in_zip(good, **{"archive/constants.pkl": good})),
        HostileFile("other byte order", whole.replace(b"little", b"big   ")),
        HostileFile("no pickle", whole.replace(b"data.pkl", b"data.txt")),
        HostileFile("something before it", b"PK\x03\x04" + bytes(100) + whole),
        HostileFile("something after it", whole + bytes(100)),
        HostileFile("two directories", whole + whole),
        HostileFile("encrypted", whole.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")),
        HostileFile("no directory", whole[: whole.index(b"PK\x01\x02")]),
        HostileFile("tar", _tar(good)),
    ]
    bombs: dict[str, Callable[[Path], object]] = {
        "a pickle of 800 MB in 4 MB": lambda path: _bomb(path, "archive/data.pkl", 800),
        "a storage of 800 MB in 4 MB": lambda path: _bomb(path, "archive/data/0", 800),
        "small weights, compressed": lambda path: _compressed(path),
    }
    return made + [MadeFile(name, make) for name, make in bombs.items()]


def _tar(body: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def _bomb(path: Path, entry: str, megabytes: int) -> None:
    values = megabytes << 18
    body = b"\x80\x02" + _weight(_tensor(_storage(numel=_long(values)), _long(values) + b"\x85")) + b"."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if entry != "archive/data.pkl":
            archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/version", "3\n")
        with archive.open(entry, "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(b"N" * (1 << 20) if entry.endswith(".pkl") else bytes(1 << 20))


def _compressed(path: Path) -> None:
    plain: Any = io.BytesIO()
    save(small_weights(), plain, "zip")
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
