"""The models that a page has loaded: each once, when first asked for, and only so many at a time."""

import threading
from collections import OrderedDict

from solov2 import VARIANTS, SOLOv2, load_model
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.torch_predictor import TorchPredictor

MAX_LOADED = 2


class Models:
    """Loads models by name and keeps the two used last. Every method may be called from any thread.

    Attributes:
        names: what may be asked for: variants' names and weights files; the first is the default.
    """

    def __init__(self, names: tuple[str, ...] = tuple(VARIANTS)) -> None:
        """Load nothing yet."""
        self.names = names
        self._loaded: OrderedDict[tuple[str, str], SOLOv2] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, str], threading.Lock] = {}

    def get(self, name: str, device: str = "auto") -> SOLOv2:
        """Return the model called `name` on `device`, warmed up; a caller waits while it is being loaded.

        Raises:
            SOLOv2Error: there is no such model or device, or its weights cannot be had.
        """
        place = find_device(device)
        key = (name, str(place))
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:  # the others stay at hand meanwhile: loading may include minutes of download
            model = self._loaded.get(key)
            if model is None:
                model = load_model(name, device=place, dtype="auto")
                warm_up(TorchPredictor(model))
        with self._lock:
            self._loaded[key] = model
            self._loaded.move_to_end(key)
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
        return model

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._loaded.clear()
