"""SOLOv2 as a predictor: the network run by PyTorch, operation by operation, or by another engine."""

import time
from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

from solov2.decoding.decode import decode_batch
from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry
from solov2.instances import Instances
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.pixels import Image
from solov2.runtime.engine import MAX_SHAPES, Engine, Hint
from solov2.runtime.thread_count import ThreadCount

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
        hint: Hint = "latency",
        batch_size: int = 1,
        *,
        wait_each_step: bool = False,
        threads: int | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            model: on its device, in eval mode.
            hint: what counts. "latency": one call at a time, which takes the whole device; on the CPU all threads, or
                fewer while those are faster, because other processes hold some cores. "throughput": on the CPU several
                calls at the same time, each on its share of the threads, because the threads that share one small
                network wait for one another at every layer.
            batch_size: how many images run together.
            wait_each_step: wait for CUDA after every step, so that each one's time is its own. Otherwise the steps are
                only queued until decoding waits, and its time includes theirs.
            threads: of the CPU that calls use in all; None means those that torch is set to use.
            engine: runs the network in place of torch, opened with the same hint; for the first `MAX_SHAPES` shapes of
                batches, as it is made ready for each of them.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._model, self._wait_each_step = model, wait_each_step
        self.class_names, self.batch_size = model.class_names, batch_size
        is_cpu = model.device.type == "cpu"
        all_threads = threads or torch.get_num_threads()
        self.workers = min(all_threads, MAX_WORKERS) if hint == "throughput" and is_cpu else 1
        if engine is not None:
            self.workers = engine.workers
        self._engine = engine
        self._shapes: set[tuple[int, ...]] = set()  # that the engine is asked for
        self._share = max(all_threads // self.workers, 1)
        chooses = hint == "latency" and is_cpu and threads is None and engine is None
        self._count = ThreadCount(all_threads) if chooses else None

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
        threads = self._count.next() if self._count else self._share
        with self._limited_to(threads):
            for geometry in dict.fromkeys(geometries):
                members = [i for i, other in enumerate(geometries) if other == geometry]
                outputs = self._outputs([images[i] for i in members], geometry, watch)
                found.update(zip(members, decode_batch(outputs, geometry, config, wanted), strict=True))
                watch.lap("decode")
        if self._count and images:
            self._count.took(threads, watch.seconds["network"] / len(images))
        if steps_ms is not None:
            steps_ms.update({step: seconds * 1000 / len(images) for step, seconds in watch.seconds.items()})
        return [found[i] for i in range(len(images))]

    def _outputs(self, images: Sequence[Image], geometry: Geometry, watch: "_Stopwatch") -> HeadOutputs:
        batch = self._model.preprocess(images, geometry)
        self._wait()
        watch.lap("preprocess")
        outputs = self._run(batch)
        self._wait()
        watch.lap("network")
        return outputs

    def _run(self, batch: torch.Tensor) -> HeadOutputs:
        shape = tuple(batch.shape)
        if self._engine is not None and len(self._shapes) < MAX_SHAPES:
            self._shapes.add(shape)
        outputs: HeadOutputs = self._engine(batch) if self._engine and shape in self._shapes else self._model(batch)
        return outputs

    def _wait(self) -> None:
        if self._wait_each_step and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)

    def _limited_to(self, threads: int) -> AbstractContextManager[object]:
        """Let torch use so many threads in the calling thread, and leave all other threads alone."""
        if threads == torch.get_num_threads():  # asked in any case: otherwise the first operation would decide it
            return nullcontext()
        limited: AbstractContextManager[object] = _thread_pools().limit(limits=threads, user_api="openmp")
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
