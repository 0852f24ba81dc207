"""SOLOv2: pictures in, instances out.

    from solov2 import load_model

    model = load_model("nano")
    instances = model.predict(rgb)  # rgb: (H, W, 3) uint8

Symbols in the shapes of all docstrings: B images, N instances, C classes, S cells per side of a grid, E mask-feature
channels, D numbers of a kernel (D = E), H and W the picture's or the network input's height and width, h = H / 4 and
w = W / 4.
"""

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
