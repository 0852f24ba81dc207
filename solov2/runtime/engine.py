"""`Engine`: what runs a network in place of torch's operations, one after another; and how to open one by its name."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Literal, Protocol

from torch import Tensor

from solov2.errors import EngineError, SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.runtime.names import ENGINE_LIBRARIES, missing_libraries

Hint = Literal["latency", "throughput"]

MAX_SHAPES = 2  # of batches that one engine is made ready for, as each takes seconds; others run by torch

OPENERS = {
    "openvino": "solov2.runtime.openvino_engine:OpenVinoEngine",
    "onnx": "solov2.runtime.onnxruntime_engine:OnnxRuntimeEngine",
    "cuda-graph": "solov2.runtime.cuda_graph_engine:CudaGraphEngine",
    "tensorrt": "solov2.runtime.tensorrt_engine:TensorRtEngine",
}
"""From an engine's name to what opens it: called with a model and a hint. "eager" is torch itself, and needs none."""

CUDA_ENGINES = ("cuda-graph", "tensorrt")


class Engine(Protocol):
    """Runs one network. It may be called from `workers` threads at the same time."""

    @property
    def workers(self) -> int:
        """How many calls pay at the same time."""
        ...

    def __call__(self, batch: Tensor) -> HeadOutputs:
        """Return the outputs for a (B, 3, H, W) batch; what is read from them is read before the thread's next call.

        The first call with a shape takes seconds: the network is converted and compiled for it.
        """
        ...


def engine_names(device_type: str) -> list[str]:
    """Return the engines that are installed and run on such a device, "eager" first."""
    installed = [name for name in ENGINE_LIBRARIES if not missing_libraries(name)]
    return [name for name in installed if name == "eager" or (name in CUDA_ENGINES) == (device_type == "cuda")]


def open_engine(name: str, model: SOLOv2, hint: Hint) -> Engine | None:
    """Return the engine called `name` for `model`; None for "eager".

    Raises:
        EngineError: it does not run on the model's device, or cannot be opened.
    """
    if name == "eager":
        return None
    if (name in CUDA_ENGINES) != (model.device.type == "cuda"):
        fitting = ", ".join(engine_names(model.device.type))
        raise EngineError(f"the engine {name} does not run on the device {model.device}. Those that do: {fitting}")
    opener: Callable[[SOLOv2, Hint], Engine] = resolve_name(OPENERS[name])
    try:
        return opener(model, hint)
    except Exception as error:
        raise failed(name, error) from error


def failed(name: str, error: Exception) -> SOLOv2Error:
    """Return the error of an engine's library as one line for the user."""
    if isinstance(error, SOLOv2Error):
        return error
    reason = next(iter(str(error).strip().splitlines()), "")[:200]
    return EngineError(f"the engine {name} cannot run this network: {type(error).__name__}: {reason}")
