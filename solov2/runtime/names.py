"""The names of devices and precisions, checked without torch, so that a typing mistake is answered at once."""

import re

from solov2.errors import UnknownNameError

DTYPE_NAMES = ("float32", "bfloat16", "float16")

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
