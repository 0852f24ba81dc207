"""COCO's run-length code: pycocotools agrees about what is right, and never sees what is wrong."""

import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solov2.masks.rle import MAX_PIXELS, check_rle, compress, run_lengths

SHAPES = [(1, 1), (1, 9), (9, 1), (20, 30), (7, 400), (300, 260)]


def encoded(mask: np.ndarray) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def some_masks() -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    noise = [draw.random(shape) < share for shape in SHAPES for share in (0.0, 0.02, 0.5, 0.98, 1.0)]
    blocks = [np.kron(draw.random((5, 4)) < 0.5, np.ones((40, 35), bool)) for _ in range(5)]
    return [*noise, *blocks]


@pytest.mark.parametrize("mask", some_masks())
def test_what_pycocotools_writes_is_read_as_it_reads_it(mask: np.ndarray) -> None:
    code = encoded(mask)
    runs = run_lengths(code["counts"])
    np.testing.assert_array_equal(np.repeat(np.arange(len(runs)) % 2, runs), mask.flatten("F"))
    assert compress(runs) == code["counts"]
    assert check_rle(code) == check_rle({**code, "counts": code["counts"].encode()}) == code
    assert check_rle({**code, "counts": runs.tolist()}, mask.shape) == code


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([0, 2, 0, 3, 1], [0, 5, 1]),
        ([2, 0, 4], [6]),
        ([0, 0, 0, 6], [0, 6]),
        ([0, 0, 6], [6]),
        ([1, 2, 3, 0], [1, 2, 3]),
    ],
)
def test_runs_of_no_pixels_are_joined(runs: list[int], expected: list[int]) -> None:
    for counts in (runs, compress(np.array(runs))):
        assert run_lengths(check_rle({"size": [2, 3], "counts": counts})["counts"]).tolist() == expected


NO_COUNTS: tuple[Any, ...] = (None, 6, 6.0, {}, ["6"], [6.0], [True] * 6, [[6]], [None])

WRONG: list[Any] = [
    None,
    5,
    "text",
    [],
    {},
    {"size": [2, 3]},
    {"counts": "6"},
    *({"size": size, "counts": "6"} for size in (None, 6, "23", [], [6], [2, 3, 1], [2.0, 3.0], ["2", "3"], [None, 3])),
    *({"size": size, "counts": "6"} for size in ([0, 3], [2, 0], [-2, -3], [-1, -6], [math.nan, 3], [2, math.inf])),
    *({"size": size, "counts": "0"} for size in ([0, 0], [10**9, 10**9], [1, MAX_PIXELS + 1], [10**30, 1])),
    *({"size": [2, 3], "counts": counts} for counts in NO_COUNTS),
    *({"size": [2, 3], "counts": counts} for counts in ([], [5], [7], [-1, 7], [3, -1, 4], [2**32 + 6], [2**64, 6])),
    *(
        {"size": [2, 3], "counts": counts}
        for counts in ("", "5", "7", "zz", "6P", "6V", " 6", "6\n", "\x00", "ä", "6\ud800")
    ),
    *({"size": [2, 3], "counts": counts} for counts in ("oooooooooooooooooooo0", b"\xff", b"", b"6V", "Nh0", "33n")),
    {"size": [1 << 14, 1 << 14], "counts": compress(np.array([(1 << 32) + (1 << 28)]))},  # right in 32 bits
]


@pytest.mark.parametrize("code", WRONG, ids=lambda code: ascii(code)[:60])
def test_what_is_no_code_is_refused_in_one_line(code: Any) -> None:
    with pytest.raises(ValueError, match="must ") as caught:
        check_rle(code)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_code_of_another_size_is_refused() -> None:
    code = encoded(np.ones((20, 30)))
    assert check_rle(code, (20, 30)) == code
    with pytest.raises(ValueError, match="must be of 30 rows and 20 columns, got 20 and 30"):
        check_rle(code, (30, 20))


def test_random_text_is_refused_or_decoded_as_pycocotools_does() -> None:
    draw = np.random.default_rng(7)
    accepted = 0
    for _ in range(20000):
        counts = bytes(draw.integers(48, 112, draw.integers(1, 6)).astype(np.uint8)).decode()
        runs = run_lengths(counts) if not counts[-1] >= "P" else np.zeros(0, np.int64)
        if not len(runs) or (runs < 0).any() or not 0 < runs.sum() < 5000:
            continue
        code = check_rle({"size": [1, int(runs.sum())], "counts": counts})
        accepted += 1
        np.testing.assert_array_equal(coco_mask.decode(code)[0], np.repeat(np.arange(len(runs)) % 2, runs))
    assert accepted > 1000
