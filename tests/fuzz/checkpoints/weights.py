"""Whole weights, and what can be odd about their tensors, names and facts."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS
from tests.fuzz.files import MadeFile

Weights = dict[Any, Any]

CLASS_WEIGHT, CLASS_BIAS = "mask_head.conv_cls.weight", "mask_head.conv_cls.bias"
PLACES = (CLASS_WEIGHT, CLASS_BIAS, "backbone.conv1.weight", "backbone.bn1.num_batches_tracked", "x.conv_offset.weight")
HUGE = 10**9


@functools.cache
def nano_weights() -> dict[str, Tensor]:
    """Random weights of the smallest variant."""
    torch.manual_seed(0)
    return SOLOv2(VARIANTS["nano"], ("a", "b")).state_dict()


def small_weights() -> Weights:
    """A few tensors under our names."""
    return {
        "backbone.conv1.weight": torch.zeros(4, 3, 7, 7),
        CLASS_WEIGHT: torch.zeros(2, 4, 3, 3),
        CLASS_BIAS: torch.zeros(2),
        "x.conv_offset.weight": torch.zeros(18, 4, 3, 3),
        "x.conv_offset.bias": torch.zeros(18),
    }


def _quiet(make: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def made(tensor: Tensor) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(tensor)

    return made


ODD_TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "sparse": lambda t: t.float().to_sparse(),
    "sparse of 10^18 values": _quiet(lambda t: torch.sparse_coo_tensor(torch.zeros(2, 1), torch.ones(1), (HUGE, HUGE))),
    "sparse CSR": _quiet(lambda t: torch.eye(4).to_sparse_csr()),
    "quantised": _quiet(lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8)),
    "meta": lambda t: t.to("meta"),
    "huge meta": lambda t: torch.empty(HUGE, *t.shape[1:], device="meta"),
    "nested": _quiet(lambda t: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
    "float8_e4m3fn": lambda t: t.to(torch.float8_e4m3fn),
    "float8_e5m2": lambda t: t.to(torch.float8_e5m2),
    "uint16": lambda t: t.to(torch.uint16),
    "complex": lambda t: t.to(torch.complex64),
    "conjugate": lambda t: t.to(torch.complex64).conj(),
    "bool": lambda t: t.bool(),
    "int8": lambda t: t.to(torch.int8),
    "float64": lambda t: t.double(),
    "no dimension": lambda t: torch.tensor(1.0),
    "one dimension": lambda t: torch.ones(2),
    "five dimensions": lambda t: t.float().reshape(*t.shape, *[1] * (5 - t.ndim)),
    "60 dimensions": lambda t: torch.ones([1] * 60),
    "no values": lambda t: t.new_zeros(0, *t.shape[1:]),
    "10^9 rows of no values": lambda t: t.new_zeros(HUGE, 0, 3, 3),
    "10^9 equal rows": lambda t: t.new_zeros(1, *t.shape[1:]).expand(HUGE, *t.shape[1:]),
    "10^9 equal numbers": lambda t: t.new_zeros(1).expand(HUGE),
    "equal rows": lambda t: t.new_zeros(1, *t.shape[1:]).expand(t.shape) if t.ndim else t,
    "overlapping": lambda t: torch.zeros(200).as_strided((60, 60), (1, 1)),
    "transposed": lambda t: t.transpose(0, -1) if t.ndim else t,
    "a slice": lambda t: torch.zeros(2, *t.shape)[1],
    "not a number": lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else t,
    "infinite": lambda t: torch.full_like(t, float("inf")) if t.is_floating_point() else t,
    "a parameter with attributes": lambda t: _with_attribute(torch.nn.Parameter(t.float())),
    "a tensor with attributes": lambda t: _with_attribute(t.clone()),
    "a buffer": lambda t: torch.nn.Buffer(t),
    "a storage": _quiet(lambda t: t.untyped_storage()),
    "an array": lambda t: t.numpy(),
    "a list": lambda t: t.tolist(),
    "nothing": lambda t: None,
    "text": lambda t: "weights",
    "a dictionary": lambda t: {"weight": t},
}

ODD_KEYS: dict[str, Any] = {
    "a number": 7,
    "nothing": None,
    "a tuple": ("a", ("b",)),
    "bytes": b"weight",
    "no characters": "",
    "a line break": "a\nb",
    "a control character": "\x1b[2J",
    "a lone surrogate": "\udc80",
    "a million characters": "x" * 1_000_000,
    "the prefix of averages": "ema_weight",
    "the prefix alone": "module.",
    "two names that become one": "module.backbone.conv1.weight",
}

ODD_CLASSES: dict[str, Any] = {
    "a tensor": torch.ones(2),
    "tensors": [torch.ones(1), torch.ones(1)],
    "numbers": [1, 2],
    "nothing": [None, None],
    "nested lists": [[["a"]], "b"],
    "a dictionary": {0: "a", 1: "b"},
    "a set": {"a", "b"},
    "bytes": [b"a", b"b"],
    "lone surrogates": ["\ud800", "\udfff"],
    "control characters": ["\x1b[31m", "b\r\n"],
    "long": ["x" * 1_000_000, "b"],
    "a million": ["x"] * 1_000_000,
    "one name": "person",
}


def _nested(levels: int) -> list[Any]:
    return [_nested(levels - 1)] if levels else []


ODD_FACTS: dict[str, Any] = {
    "a long number": 10**5000,
    "not a number": float("nan"),
    "control characters": "\x1b]0;title\x07",
    "a lone surrogate": "\udc80",
    "a tensor": torch.ones(1),
    "nested lists": _nested(100),
    "a long text": "x" * 5_000_000,
    "complex": 1j,
}


def _with_attribute(tensor: Any) -> Any:
    tensor.note = "attribute"
    return tensor


def save(content: Any, path: Path, layout: str) -> None:
    """Write what `torch.save` writes, as a zip file or in the format before torch 1.6."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")


def with_odd_tensor(oddity: str, place: str, base: str = "small", layout: str = "zip") -> MadeFile:
    """Return weights in which one tensor is odd; `place` "all" means every one."""

    def make(path: Path) -> None:
        weights: Weights = dict(nano_weights()) if base == "nano" else small_weights()
        for name in list(weights) if place == "all" else [place]:
            weights[name] = ODD_TENSORS[oddity](weights.get(name, torch.zeros(2, 4, 3, 3)))
        save({"state_dict": weights}, path, layout)

    return MadeFile(f"{base} weights, {layout}: {place} is {oddity}", make)


def with_odd_key(oddity: str, alone: bool) -> MadeFile:
    """Return weights in which a tensor has an odd name, beside ordinary ones or alone."""

    def make(path: Path) -> None:
        save({**({} if alone else small_weights()), ODD_KEYS[oddity]: torch.ones(2)}, path, "zip")

    return MadeFile(f"a name is {oddity}{', alone' if alone else ''}", make)


def with_odd_facts(kind: str, oddity: str, base: str = "small") -> MadeFile:
    """Return weights with odd class names ("classes", "own classes") or other facts ("facts", "keys")."""

    def make(path: Path) -> None:
        weights: Weights = dict(nano_weights()) if base == "nano" else small_weights()
        content: dict[str, Any] = {"state_dict": weights}
        if kind == "classes":
            content["meta"] = {"CLASSES": ODD_CLASSES[oddity], "dataset_meta": {"classes": ODD_CLASSES[oddity]}}
        elif kind == "own classes":
            content["class_names"] = ODD_CLASSES[oddity]
        elif kind == "facts":
            content["meta"] = {"epoch": ODD_FACTS[oddity], "SHA-256": "0" * 64, "variant": "r50"}
        else:
            content["meta"] = {ODD_KEYS[oddity]: 1}
        save(content, path, "zip")

    return MadeFile(f"{base} weights: {kind}: {oddity}", make)
