"""A network run by TensorRT, on CUDA, in the model's own precision."""

import threading
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from solov2.errors import EngineError
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.runtime.engine import Hint
from solov2.runtime.engine_cache import cached, file_name
from solov2.runtime.flat_network import output_names, unflatten
from solov2.runtime.onnx_network import network_as_onnx


class TensorRtEngine:
    """An `Engine`. Calls from several threads run one after another."""

    workers = 1

    def __init__(self, model: SOLOv2, hint: Hint = "latency") -> None:
        """Build nothing yet."""
        import tensorrt

        self._model, self._library = model, tensorrt
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._contexts: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()

    def __call__(self, batch: Tensor) -> HeadOutputs:
        """Return the outputs."""
        with self._lock:
            context = self._context(tuple(batch.shape))
            held = [batch.to(self._model.dtype).contiguous()]
            context.set_tensor_address("images", held[0].data_ptr())
            for name in output_names(self._model):
                dtype = torch.float32 if self._is_float32(context, name) else self._model.dtype
                held.append(torch.empty(tuple(context.get_tensor_shape(name)), dtype=dtype, device=batch.device))
                context.set_tensor_address(name, held[-1].data_ptr())
            if not context.execute_async_v3(torch.cuda.current_stream(batch.device).cuda_stream):
                raise EngineError("the engine tensorrt could not run the network")
            return unflatten(held[1:], self._model.variant.level_strides)

    def _is_float32(self, context: Any, name: str) -> bool:
        return bool(context.engine.get_tensor_dtype(name) == self._library.float32)

    def _context(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._contexts:
            where = torch.cuda.get_device_name(self._model.device), self._library.__version__
            name = file_name(self._model, shape, *where, suffix=".engine")
            network = network_as_onnx(self._model, shape, self._model.dtype)
            plan = cached(name, lambda: build_plan(self._library, network))
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineError(f"the engine tensorrt cannot read what it built. Delete {name} in its cache")
            self._contexts[shape] = engine.create_execution_context()
        return self._contexts[shape]


def build_plan(library: ModuleType, network: bytes) -> bytes:
    """Return what TensorRT builds from an ONNX file whose types it keeps.

    Raises:
        EngineError: TensorRT cannot read or build it.
    """
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    flag = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # from TensorRT 11 on always so
    definition = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = library.OnnxParser(definition, logger)
    if not parser.parse(network):
        reason = parser.get_error(0).desc() if parser.num_errors else "no reason given"
        raise EngineError(f"the engine tensorrt cannot read this network: {reason}")
    plan = builder.build_serialized_network(definition, builder.create_builder_config())
    if plan is None:
        raise EngineError("the engine tensorrt cannot build this network")
    return bytes(plan)
