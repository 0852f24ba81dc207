"""A network recorded once as a CUDA graph and launched as a whole, which saves the launch of each operation."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.runtime.engine import Hint

WARM_UP_RUNS = 3  # in which the libraries choose their kernels, as they may not while a graph is recorded

Replay = Callable[[Tensor], HeadOutputs]


class CudaGraphEngine:
    """An `Engine`. Calls from several threads run one after another."""

    workers = 1

    def __init__(
        self, model: SOLOv2, hint: Hint = "latency", record: "Callable[[SOLOv2, Tensor], Replay] | None" = None
    ) -> None:
        """Record nothing yet; `record` None means `record_graph`."""
        self._model, self._record = model, record or record_graph
        self._graphs: dict[tuple[int, ...], Replay] = {}
        self._lock = threading.Lock()

    def __call__(self, batch: Tensor) -> HeadOutputs:
        """Return the outputs."""
        with self._lock:
            shape = tuple(batch.shape)
            if shape not in self._graphs:
                self._graphs[shape] = self._record(self._model, batch)
            return self._graphs[shape](batch)


def record_graph(model: SOLOv2, example: Tensor) -> Replay:
    """Return what runs `model` on batches like `example`.

    A graph reads and writes the same memory each time, so the batch is copied in, and the outputs are copied out.

    Source: PyTorch's documentation, "CUDA Graphs".
    """
    held = example.clone()
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_RUNS):
            model(held)
    current.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs: HeadOutputs = model(held)

    def replay(batch: Tensor) -> HeadOutputs:
        held.copy_(batch)
        graph.replay()
        return copied(outputs)

    return replay


def copied(outputs: HeadOutputs) -> HeadOutputs:
    """Return `outputs` in memory of their own."""
    return HeadOutputs(
        [level.clone() for level in outputs.category_logits],
        [level.clone() for level in outputs.kernels],
        outputs.mask_features.clone(),
        None if outputs.boxes is None else [level.clone() for level in outputs.boxes],
        outputs.strides,
    )
