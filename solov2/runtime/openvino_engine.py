"""A network run by OpenVINO, on the CPU."""

import threading
from typing import Any

import torch
from torch import Tensor

from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.runtime.engine import Hint
from solov2.runtime.flat_network import unflatten
from solov2.runtime.onnx_network import network_as_onnx
from solov2.runtime.openvino_library import import_openvino

MAX_STREAMS = 4  # each holds the activations of a whole network


class OpenVinoEngine:
    """An `Engine`. Networks are compiled for static shapes, in the model's own precision."""

    def __init__(self, model: SOLOv2, hint: Hint) -> None:
        """Compile nothing yet."""
        self._model, self._core = model, import_openvino().Core()
        threads = torch.get_num_threads()
        self.workers = 1 if hint == "latency" else min(threads, MAX_STREAMS)
        self._settings = {
            "PERFORMANCE_HINT": hint.upper(),
            "NUM_STREAMS": self.workers,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if model.dtype == torch.bfloat16 else "f32",
        }
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._compiling = threading.Lock()
        self._own = threading.local()  # each thread has a request of its own

    def __call__(self, batch: Tensor) -> HeadOutputs:
        """Return the outputs; they are overwritten by the thread's next call."""
        request = self._request(tuple(batch.shape))
        found = request.infer([batch.float().contiguous().numpy()], share_inputs=True, share_outputs=True)
        return unflatten([torch.from_numpy(value) for value in found.values()], self._model.variant.level_strides)

    def _request(self, shape: tuple[int, ...]) -> Any:
        requests: dict[tuple[int, ...], Any] = getattr(self._own, "requests", {})
        self._own.requests = requests
        if shape not in requests:
            with self._compiling:
                if shape not in self._compiled:
                    network = self._core.read_model(network_as_onnx(self._model, shape), b"")
                    self._compiled[shape] = self._core.compile_model(network, "CPU", self._settings)
            requests[shape] = self._compiled[shape].create_infer_request()
        return requests[shape]
