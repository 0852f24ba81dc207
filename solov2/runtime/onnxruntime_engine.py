"""A network run by ONNX Runtime, on the CPU."""

import threading
from typing import Any

import torch
from torch import Tensor

from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.runtime.engine import Hint
from solov2.runtime.flat_network import unflatten
from solov2.runtime.onnx_network import network_as_onnx

MAX_CALLS = 4  # side by side; each holds the activations of a whole network


class OnnxRuntimeEngine:
    """An `Engine`, in float32."""

    def __init__(self, model: SOLOv2, hint: Hint) -> None:
        """Open no session yet."""
        self._model = model
        threads = torch.get_num_threads()
        self.workers = 1 if hint == "latency" else min(threads, MAX_CALLS)
        self._threads = threads // self.workers
        self._sessions: dict[tuple[int, ...], Any] = {}
        self._opening = threading.Lock()

    def __call__(self, batch: Tensor) -> HeadOutputs:
        """Return the outputs."""
        found = self._session(tuple(batch.shape)).run(None, {"images": batch.float().contiguous().numpy()})
        return unflatten([torch.from_numpy(value) for value in found], self._model.variant.level_strides)

    def _session(self, shape: tuple[int, ...]) -> Any:
        with self._opening:
            if shape not in self._sessions:
                self._sessions[shape] = open_session(network_as_onnx(self._model, shape), self._threads)
            return self._sessions[shape]


def open_session(network: bytes | str, threads: int) -> Any:
    """Return a session whose threads sleep while they wait: the cores also decode, draw and encode."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
