"""The models that a page has loaded: each once, when first asked for, and only so many at a time."""

import threading
from collections import OrderedDict

from solov2 import VARIANTS, SOLOv2
from solov2.predictor import warm_up
from solov2.runtime.device import find_device
from solov2.runtime.open_predictor import Runnable, load_runnable
from solov2.runtime.torch_predictor import TorchPredictor

MAX_LOADED = 2


class Models:
    """Loads models by name and keeps the two used last. Every method may be called from any thread.

    Attributes:
        names: what may be asked for: variants' names and weights files; the first is the default.
        engine: what runs them, as `--engine` of the command.
    """

    def __init__(self, names: tuple[str, ...] = tuple(VARIANTS), engine: str = "eager") -> None:
        """Load nothing yet."""
        self.names, self.engine = names, engine
        self._loaded: OrderedDict[tuple[str, str], Runnable] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, str], threading.Lock] = {}

    def get(self, name: str, device: str = "auto") -> Runnable:
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
                model = load_runnable(name, place, "auto")
                if isinstance(model, SOLOv2):
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
