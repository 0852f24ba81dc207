"""SOLOv2 run by PyTorch, operation by operation, on the CPU or on CUDA."""

import time
from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Literal

import torch
from threadpoolctl import ThreadpoolController

from solov2.decoding.decode import decode_batch
from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry, Image
from solov2.instances import Instances
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs

MIN_SCORE = DecodeConfig().final_score_threshold
MAX_WORKERS = 4  # each holds the activations of a whole network


class TorchPredictor:
    """A `solov2.predictor.Predictor`.

    Attributes:
        class_names: the name of each label.
        workers: see `hint`.
        batch_size: how many images run together.
    """

    def __init__(
        self,
        model: SOLOv2,
        hint: Literal["latency", "throughput"] = "latency",
        batch_size: int = 1,
        wait_each_step: bool = False,
    ) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            model: on its device, in eval mode.
            hint: what counts. "latency": one call at a time, which takes the whole device. "throughput": on the CPU
                several calls at the same time, each on its share of the threads, because the threads that share one
                small network wait for one another at every layer.
            batch_size: how many images run together.
            wait_each_step: wait for CUDA after every step, so that each one's time is its own. Otherwise the steps are
                only queued until decoding waits, once, for all of them, and its time includes theirs.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._model, self._wait_each_step = model, wait_each_step
        self.class_names, self.batch_size = model.class_names, batch_size
        is_shared = hint == "throughput" and model.device.type == "cpu"
        self.workers = min(torch.get_num_threads(), MAX_WORKERS) if is_shared else 1
        self._threads = torch.get_num_threads() // self.workers

    @torch.inference_mode()
    def predict_batch(
        self,
        images: Sequence[Image],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        """Return what is in each image; those of one size run in one batch, as others would have to be padded."""
        config = DecodeConfig(final_score_threshold=max(score_threshold, MIN_SCORE))
        wanted = None if labels is None else tuple(labels)
        geometries = [self._model.geometry(image) for image in images]
        watch = _Stopwatch()
        found: dict[int, Instances] = {}
        with self._share_of_threads():
            for geometry in dict.fromkeys(geometries):
                members = [i for i, other in enumerate(geometries) if other == geometry]
                outputs = self._outputs([images[i] for i in members], geometry, watch)
                found.update(zip(members, decode_batch(outputs, geometry, config, wanted), strict=True))
                watch.lap("decode")
        if steps_ms is not None:
            steps_ms.update({step: seconds * 1000 / len(images) for step, seconds in watch.seconds.items()})
        return [found[i] for i in range(len(images))]

    def _outputs(self, images: Sequence[Image], geometry: Geometry, watch: "_Stopwatch") -> HeadOutputs:
        batch = self._model.preprocess(images, geometry)
        self._wait()
        watch.lap("preprocess")
        outputs: HeadOutputs = self._model(batch)
        self._wait()
        watch.lap("network")
        return outputs

    def _wait(self) -> None:
        if self._wait_each_step and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)

    def _share_of_threads(self) -> AbstractContextManager[object]:
        """Let torch use only a share of the threads in the calling thread, and leave all other threads alone."""
        if self.workers == 1:
            return nullcontext()
        torch.get_num_threads()  # would otherwise be decided at the first operation, as for every other thread
        limited: AbstractContextManager[object] = _thread_pools().limit(limits=self._threads, user_api="openmp")
        return limited


class _Stopwatch:
    """Adds up the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


@cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools of this process; looking for them takes milliseconds."""
    return ThreadpoolController()
