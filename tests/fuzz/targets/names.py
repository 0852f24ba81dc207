"""Names that a user types: of variants, precisions and devices."""

import torch
from hypothesis import strategies as st

from solov2.runtime.device import find_device, find_dtype
from solov2.variants import VARIANTS, find_variant
from tests.fuzz.target import Target

_KNOWN = ("x" * 5000, "cuda:" + "9" * 5000, "cuda:-1", "cuda:٣", "\udc80", "")
_STARTS = st.sampled_from(["", "cuda:", "float", *VARIANTS])
_NAMES = st.builds(str.__add__, _STARTS, st.text())

TARGETS = (
    Target("variant", "config", _NAMES, find_variant, known=_KNOWN),
    Target("device", "config", _NAMES, find_device, known=_KNOWN),
    Target("dtype", "config", _NAMES, lambda name: find_dtype(name, torch.device("cpu")), known=_KNOWN),
)
