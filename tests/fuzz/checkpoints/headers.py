"""Headers of safetensors files: hand-written oddities, and JSON that is made at random."""

import json
import struct
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz.checkpoints.weights import CLASS_BIAS, CLASS_WEIGHT
from tests.fuzz.files import HostileFile

_DTYPES: dict[Any, int] = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F4": 1, "C64": 8},
    **{"I64": 8, "I32": 4, "U64": 8, "U16": 2, "U8": 1, "BOOL": 1, "f32": 4, "": 4, 7: 4},
}
_DEEP = 200_000


def file_of(header: Any, data: bytes = bytes(32), length: int | None = None) -> bytes:
    """Return a file with this header, which is JSON text or what becomes JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _entry(shape: Any = (2, 4), dtype: Any = "F32", offsets: Any = (0, 32)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def _with_metadata(**metadata: Any) -> dict[str, Any]:
    return {"__metadata__": {"variant": "nano", **metadata}, CLASS_WEIGHT: _entry()}


_INPUTS = (
    *("[1]", "[]", "null", "NaN", "[NaN, NaN]", "[1e999, 1]", "1000000", "[1000000, 1000000]", "[0, 0]", "[-1, 5]"),
    *("[384, 256.5]", "[true, true]", '["384", "256"]', "[256, 384]", "[[384], [256]]", '{"0": 384}', "[384, 256, 3]"),
    *("[384, 256", "[" * _DEEP, "9" * 5000),
)
_NAMES = ('["a", ["b"]]', '["\\ud800", "\\udfff"]', '["\\u001b[2J", "b\\n"]', "[1, 2]", "[null, null]", "{}", '"ab"',
          json.dumps(["x" * 100_000, "b"]), json.dumps(["x"] * 100_000), "[" * _DEEP, '{"a":' * _DEEP)  # fmt: skip
_FACTS = ("[]", "NaN", '{"a": NaN, "b": Infinity}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", '{"\\ud800": 1}',
          '{"a": "\\ud800"}', '{"a": "\\u001b]0;x\\u0007"}', '{"a": ' + "[" * 900 + "]" * 900 + "}",
          '{"a": ' * _DEEP, '{"SHA-256": "0", "variant": "r50", "a": {"b": [1, null]}}')  # fmt: skip


def header_files() -> list[HostileFile]:
    """Return files whose header is odd in one respect."""
    made = {f"input_px {text[:40]}": file_of(_with_metadata(input_px=text)) for text in _INPUTS}
    made |= {f"class_names {text[:40]}": file_of(_with_metadata(class_names=text)) for text in _NAMES}
    made |= {f"metadata {text[:40]}": file_of(_with_metadata(metadata=text)) for text in _FACTS}
    made |= {
        f"dtype {dtype}": file_of({"weight": _entry(dtype=dtype, offsets=(0, 8 * size))}, bytes(8 * size))
        for dtype, size in _DTYPES.items()
    }
    made |= {
        f"variant {variant[:40]!r}": file_of(_with_metadata(variant=variant))
        for variant in ("", "r51", "\x00", "x" * 10_000)
    }
    made |= {
        "no tensors": file_of({}),
        "averages alone": file_of({"ema_weight": _entry()}),
        "10^9 classes": file_of(_with_metadata() | {CLASS_WEIGHT: _entry((10**9, 0), offsets=(0, 0))}, b""),
        "2^63 rows": file_of({"weight": _entry((1 << 63, 4))}),
        "2^70 rows": file_of({"weight": _entry((1 << 70, 4))}),
        "rows that overflow": file_of({"weight": _entry((1 << 32, 1 << 32, 4))}),
        "fewer than no rows": file_of({"weight": _entry((-2, -4))}),
        "half a row": file_of({"weight": _entry((2.5, 4))}),
        "offsets in the wrong order": file_of({"weight": _entry(offsets=(32, 0))}),
        "offsets beyond the end": file_of({"weight": _entry((1 << 30,), offsets=(0, 1 << 32))}),
        "the same bytes twice": file_of({"a": _entry(), "b": _entry()}),
        "bytes between tensors": file_of({"a": _entry((2,), offsets=(0, 8)), "b": _entry((2,), offsets=(24, 32))}),
        "the same name twice": file_of(b'{"a":%b,"a":%b}' % ((json.dumps(_entry()).encode(),) * 2)),
        "a name of a megabyte": file_of({"x" * 1_000_000: _entry()}),
        "a name with a line break": file_of({"a\nb": _entry()}),
        "a lone surrogate as a name": file_of(b'{"\\ud800":%b}' % json.dumps(_entry()).encode()),
        "offsets of convolutions in one dimension": file_of({"x.conv_offset.weight": _entry((8,))}),
        "100,000 tensors": file_of({f"t{i}": _entry((0,), offsets=(0, 0)) for i in range(100_000)}, b""),
        "nested arrays": file_of(b'{"a":' + b"[" * _DEEP),
        "a list": file_of(b"{[]"),
        "a header that is no text": file_of(b"{\xff\xfe}"),
        "a header of 2^63 bytes": file_of({"weight": _entry()}, length=1 << 63),
        "a header of 50 MB": file_of({"weight": _entry()}, length=50 << 20),
        "a header longer than the file": file_of({"weight": _entry()}, length=1000),
        "metadata that is no text": file_of({"__metadata__": {"class_names": ["a"]}, "weight": _entry()}),
        "metadata that is a number": file_of({"__metadata__": 7, "weight": _entry()}),
        "60 dimensions": file_of({"weight": _entry([1] * 59 + [8])}),
        "no dimension": file_of({CLASS_WEIGHT: _entry((), offsets=(0, 4)), "x": _entry((7,), offsets=(4, 32))}),
        "more biases": file_of({CLASS_WEIGHT: _entry((1,), "F32", (0, 4)), CLASS_BIAS: _entry((7,), "F32", (4, 32))}),
    }  # fmt: skip
    return [HostileFile(f"safetensors: {name}", content) for name, content in made.items()]


_LEAVES = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=8)
_INNER = _LEAVES | st.lists(_LEAVES, max_size=4)
_VALUES = _INNER | st.lists(_INNER, max_size=4) | st.dictionaries(st.text(max_size=4), _INNER, max_size=3)
_JSON = _VALUES.map(json.dumps)
_METADATA = st.dictionaries(
    st.sampled_from(["variant", "class_names", "metadata", "input_px"]), st.sampled_from(["nano", "r50"]) | _JSON
)
_TENSORS = st.dictionaries(
    st.sampled_from([CLASS_WEIGHT, CLASS_BIAS, "x.conv_offset.weight", "ema_a", "module.", "a"]) | st.text(max_size=8),
    st.builds(
        _entry,
        st.lists(st.integers(0, 4) | st.sampled_from([8, 10**9, 1 << 62, -1]), max_size=5) | _VALUES,
        st.sampled_from(list(_DTYPES)) | _VALUES,
        st.sampled_from([(0, 32), (0, 16), (16, 32), (0, 0), (32, 32), (0, 4)]) | _VALUES,
    )
    | _VALUES,
    max_size=4,
)


def random_headers() -> SearchStrategy[HostileFile]:
    """Return a strategy of files that look like safetensors, with any JSON in their places."""

    def made(tensors: dict[str, Any], metadata: dict[str, Any], size: int) -> HostileFile:
        header = tensors | ({"__metadata__": metadata} if metadata else {})
        return HostileFile(f"safetensors: {header!r}"[:500], file_of(header, bytes(size)))

    return st.builds(made, _TENSORS, _METADATA, st.sampled_from([0, 4, 16, 32, 64]))
