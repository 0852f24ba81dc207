"""What a weights file may hold: limits that are far beyond every real file, and what is wrong with one beyond them."""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from solov2.errors import few_of
from solov2.variants import INPUT_SIDES_PX

MAX_TENSORS = 20_000  # the largest variant has 2,000; an unfinished training holds each five times
MAX_CLASSES = 20_000  # the largest vocabulary of a public data set has 13,000
MAX_HEADER_BYTES = 16 << 20  # of a safetensors file
MAX_JSON_LENGTH = 4 << 20  # characters: of 20,000 class names, for example
_MAX_NAME_LENGTH = 300
_MAX_TEXT_LENGTH = 1000
_MAX_METADATA_LENGTH = 100_000

DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
DTYPES |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}


def complaint_about_tensors(tensors: Mapping[str, Tensor], file_bytes: int) -> str | None:
    """Return what keeps tensors of a file from being read as weights, as the end of a sentence; None if nothing does.

    They must be dense, on the CPU, of an ordinary precision, each with values of its own: a tensor of 10^9 equal rows
    needs four bytes in a file, and gigabytes as soon as it is copied.
    """
    if len(tensors) > MAX_TENSORS:
        return f"holds {len(tensors):,} tensors, at most {MAX_TENSORS:,} are read"
    unreadable = [name for name in tensors if not is_printable(name, _MAX_NAME_LENGTH)]
    if unreadable:
        return f"has {len(unreadable):,} tensors whose names are no printable text"
    unusual = [f"{name} ({why})" for name, tensor in tensors.items() if (why := _unusual(tensor))]
    if unusual:
        return f"holds tensors that are no weights: {few_of(unusual, 2)}. Save dense float tensors"
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if needed > file_bytes:
        return f"has {file_bytes:,} bytes for weights of {needed:,}: tensors share values. Save a clone of each"
    return None


def _unusual(tensor: Tensor) -> str | None:
    """Return what a tensor is that weights are not."""
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return type(tensor).__name__
    if tensor.is_nested or tensor.layout != torch.strided:
        return "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
    if tensor.device.type != "cpu":
        return f"on device {tensor.device}"
    if tensor.dtype not in DTYPES:
        return str(tensor.dtype).removeprefix("torch.")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"{tensor.numel():,} values, {tensor.untyped_storage().nbytes():,} bytes"
    return None


def complaint_about_input(input_px: Any) -> str | None:
    """Return what is wrong with a file's input size; None means that it is two sides, the longer one first."""
    least, most = INPUT_SIDES_PX
    is_pair = isinstance(input_px, list | tuple) and [type(side) for side in input_px] == [int, int]
    if is_pair and least <= input_px[1] <= input_px[0] <= most:
        return None
    return (
        f"says that its input has {_shortened(input_px)} px, need two whole numbers from {least} to {most}: the long "
        "side and the short one"
    )


def class_names_of(names: Any, class_count: int) -> tuple[str, ...] | None:
    """Return a file's class names if they are printable text, one for each class of the weights; else None."""
    if isinstance(names, str):  # of a single class
        names = (names,)
    if not isinstance(names, list | tuple) or len(names) != class_count:
        return None
    return tuple(names) if all(is_printable(name, _MAX_NAME_LENGTH) for name in names) else None


def metadata_of(facts: Any) -> dict[str, Any]:
    """Return what can be shown of what a file says about itself: numbers, lines of text, and JSON of these."""
    if not isinstance(facts, dict):
        return {}
    shown = {key: value for key, value in facts.items() if is_printable(key, _MAX_NAME_LENGTH) and _is_shown(value)}
    return shown if len(shown) <= _MAX_TEXT_LENGTH else {}


def parse_json(text: Any) -> Any:
    """Return what JSON text holds, or None where it is no JSON, too long, or nested deeper than Python reads."""
    try:
        return json.loads(text) if isinstance(text, str) and len(text) <= MAX_JSON_LENGTH else None
    except (ValueError, RecursionError):
        return None


def is_printable(text: Any, max_length: int) -> bool:
    """Return whether something is one line of text that a terminal shows as it is."""
    return isinstance(text, str) and len(text) <= max_length and text.isprintable()


def _is_shown(value: Any, levels: int = 4) -> bool:
    if isinstance(value, dict):
        return _is_shown(list(value.values()), levels) and all(is_printable(key, _MAX_NAME_LENGTH) for key in value)
    if isinstance(value, list | tuple):
        return levels > 0 and len(value) <= _MAX_TEXT_LENGTH and all(_is_shown(item, levels - 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 1 << 63
    return value is None or is_printable(value, _MAX_TEXT_LENGTH)


def _shortened(value: Any) -> str:
    text = json.dumps(value, default=lambda other: type(other).__name__)
    return text if len(text) <= 40 else f"{text[:40]}..."
