"""The names of devices, precisions and engines, checked without torch, so that a typing mistake is answered at once."""

import re
from importlib.util import find_spec

from solov2.errors import MissingExtraError, UnknownNameError

DTYPE_NAMES = ("float32", "bfloat16", "float16")

_CONVERTER = ("onnx", "onnxscript")  # what torch's ONNX exporter needs
ENGINE_LIBRARIES: dict[str, tuple[str, ...]] = {
    "eager": (),
    "openvino": ("openvino", *_CONVERTER),
    "onnx": ("onnxruntime", *_CONVERTER),
    "cuda-graph": (),
    "tensorrt": ("tensorrt", *_CONVERTER),
}
"""What runs a network, and the libraries that it needs beside torch; the extra of this package has the same name."""

EXPORT_FORMATS = {".onnx": "onnx", ".xml": "openvino"}
"""From the ending of an exported file to the engine that runs it."""

ENGINE_NAMES = ("auto", *ENGINE_LIBRARIES)
ENGINE_VARIABLE = "SOLOV2_ENGINE"  # the engine of commands that are not given one

_DEVICE = re.compile(r"auto|cpu|cuda(?::(?P<number>[0-9]{1,9}))?")


def check_device_name(name: str) -> int | None:
    """Return N of "cuda:N", 0 for "cuda", None for "auto" and "cpu". Whether there is such a device is not looked at.

    Raises:
        UnknownNameError: it is none of these.
    """
    parts = _DEVICE.fullmatch(name)
    if not parts:
        raise UnknownNameError("device", name, ("auto", "cpu", "cuda", "cuda:N"))
    return int(parts["number"] or 0) if name.startswith("cuda") else None


def check_dtype_name(name: str) -> str:
    """Return `name` if it is "auto", "float32", "bfloat16" or "float16".

    Raises:
        UnknownNameError: it is none of these.
    """
    if name not in ("auto", *DTYPE_NAMES):
        raise UnknownNameError("dtype", name, ("auto", *DTYPE_NAMES))
    return name


def check_engine_name(name: str) -> str:
    """Return `name` if it is "auto" or an engine whose libraries are installed.

    Raises:
        UnknownNameError: there is no such engine.
        MissingExtraError: a library that it needs is not installed.
    """
    if name not in ENGINE_NAMES:
        raise UnknownNameError("engine", name, ENGINE_NAMES)
    for library in missing_libraries(name):
        raise MissingExtraError(library, name)
    return name


def missing_libraries(engine: str) -> list[str]:
    """Return the libraries of an engine that are not installed. None of them is imported."""
    return [library for library in ENGINE_LIBRARIES.get(engine, ()) if is_missing(library)]


def is_missing(library: str) -> bool:
    """Return whether a library is not installed. It is not imported."""
    return find_spec(library) is None
