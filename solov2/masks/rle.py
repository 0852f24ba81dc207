"""Check COCO's run-length code before pycocotools sees it, whose C code crashes on wrong sizes and sums.

A code is {"size": [height, width], "counts": runs}. The runs are pixel counts down the columns, background first, as a
list of numbers or as COCO's compressed text: five bits a character from "0" on, and from the fourth number on the
difference to the number two places before.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from solov2.errors import brief
from solov2.pixels import Size

MAX_PIXELS = 1 << 28  # of a mask; pycocotools counts pixels in 32 bits, and decoding takes a byte for each
_MAX_CHARACTERS = 7  # of one number: 35 bits hold any difference of two 32-bit counts
_MORE, _SIGN, _VALUE = 0x20, 0x10, 0x1F

IntArray = npt.NDArray[np.int64]
Rle = dict[str, Any]  # {"size": [height, width], "counts": compressed text}


def check_rle(code: object, size: Size | None = None) -> dict[str, Any]:
    """Return a run-length code as compressed text that is safe to decode: {"size": [height, width], "counts": str}.

    Runs of no pixels, which some tools write, are joined to their neighbours. Anything else comes back as it was.

    Args:
        code: what a file says that it is.
        size: (height, width) that it must have; None takes any.

    Raises:
        ValueError: it is no code, its size is not `size` or more than `MAX_PIXELS`, or its runs do not fill its size.
    """
    if not isinstance(code, Mapping) or not {"size", "counts"} <= code.keys():
        raise ValueError(f"a run-length code must have size and counts, got {brief(code)}")
    height, width = _checked_size(code["size"])
    if size is not None and (height, width) != tuple(size):
        raise ValueError(f"a run-length code must be of {size[0]} rows and {size[1]} columns, got {height} and {width}")
    counts = code["counts"]
    runs = _listed(counts) if isinstance(counts, list) else run_lengths(counts)
    if runs.min(initial=0) < 0 or runs.max(initial=0) > height * width or int(runs.sum()) != height * width:
        raise ValueError(f"the runs of a run-length code must fill its {height} x {width} pixels, got {brief(counts)}")
    if isinstance(counts, list) or not runs[1:].all():
        return {"size": [height, width], "counts": compress(_joined(runs))}
    return {"size": [height, width], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def run_lengths(counts: object) -> IntArray:
    """Return the runs that compressed text stands for: (M,) int64, background first; they may still be wrong.

    Raises:
        ValueError: it is no such text.
    """
    text = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    if not isinstance(text, bytes):
        raise ValueError(f"counts must be text or a list of numbers, got {brief(counts)}")
    symbols = np.frombuffer(text, np.uint8).astype(np.int64) - ord("0")
    if not len(symbols):
        return symbols
    if symbols.min() < 0 or symbols.max() >= 2 * _MORE or symbols[-1] & _MORE:
        raise ValueError(f"counts must be whole numbers in COCO's compressed text, got {brief(counts)}")
    ends = np.flatnonzero(symbols & _MORE == 0)
    starts = np.concatenate([ends[:1] * 0, ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError(f"counts must be numbers of 32 bits, got {brief(counts)}")
    places = np.arange(len(symbols)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((symbols & _VALUE) << 5 * places, starts)
    runs -= np.where(symbols[ends] & _SIGN, 1 << 5 * lengths, 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return np.asarray(runs, np.int64)


def compress(runs: IntArray) -> str:
    """Return COCO's compressed text of (M,) runs; the inverse of `run_lengths`."""
    numbers = np.concatenate([runs[:3], runs[3:] - runs[1:-2]])[:, None]
    places = np.arange(_MAX_CHARACTERS)
    limits = _SIGN << 5 * places  # a number below fits in as many characters and one
    is_used = (places == 0) | (numbers >= np.roll(limits, 1)) | (numbers < -np.roll(limits, 1))
    goes_on = (numbers >= limits) | (numbers < -limits)
    symbols = (numbers >> 5 * places & _VALUE) + np.where(goes_on, _MORE, 0) + ord("0")
    text: bytes = symbols[is_used].astype(np.uint8).tobytes()
    return text.decode("ascii")


def _checked_size(size: object) -> Size:
    match size:
        case [int(height), int(width)] if height > 0 and width > 0 and height * width <= MAX_PIXELS:
            return int(height), int(width)
    raise ValueError(f"a run-length code must be of [height, width], at most {MAX_PIXELS} pixels, got {brief(size)}")


def _listed(counts: list[Any]) -> IntArray:
    if not all(type(count) is int and 0 <= count <= MAX_PIXELS for count in counts):
        raise ValueError(f"counts must be whole numbers from 0 to {MAX_PIXELS}, got {brief(counts)}")
    return np.array(counts, np.int64)


def _joined(runs: IntArray) -> IntArray:
    """Return `runs` without those of no pixels; the first one, which is background, may stay empty."""
    is_mask = np.arange(len(runs)) % 2 == 1
    is_mask, runs = is_mask[runs > 0], runs[runs > 0]
    begins = np.flatnonzero(np.diff(is_mask, prepend=not is_mask[0]))
    joined = np.add.reduceat(runs, begins)
    return np.concatenate([[0], joined]) if is_mask[0] else joined
