"""SOLOv2: pictures in, instances out.

    from solov2 import load_model

    model = load_model("nano")
    instances = model.predict(rgb)  # rgb: (H, W, 3) uint8

Symbols in the shapes of all docstrings: B images, N instances, C classes, S cells per side of a grid, E mask-feature
channels, D numbers of a kernel (D = E), H and W the picture's or the network input's height and width, h = H / 4 and
w = W / 4.

The names below are imported when they are first used (PEP 562), because torch takes seconds to import, and a command
line answers a typing mistake without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solov2.decoding.decode_config import DecodeConfig
    from solov2.errors import CheckpointError, DatasetError, DownloadError, SOLOv2Error, UnknownNameError
    from solov2.instances import Instances
    from solov2.load import load_model
    from solov2.network.model import SOLOv2
    from solov2.variants import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "CheckpointError",
    "DatasetError",
    "DecodeConfig",
    "DownloadError",
    "Instances",
    "SOLOv2",
    "SOLOv2Error",
    "UnknownNameError",
    "Variant",
    "load_model",
]

__version__ = "0.1.0"

_MODULE_OF = {
    "DecodeConfig": "solov2.decoding.decode_config",
    "Instances": "solov2.instances",
    "SOLOv2": "solov2.network.model",
    "VARIANTS": "solov2.variants",
    "Variant": "solov2.variants",
    "load_model": "solov2.load",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF.get(name, "solov2.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
