"""What owns the device: frames in, results out, in order, one by one, in batches, or side by side."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from app.stream.frames import ControlPanel, Controls, Frame, Result
from app.stream.ordered_map import ordered_map
from solov2 import DecodeConfig, SOLOv2
from solov2.decoding.decode import decode_batch
from solov2.decoding.geometry import Geometry

REFERENCE = DecodeConfig()
WARM_UP_HW = (720, 1280)
MAX_WORKERS = 4  # each holds the activations of a whole network


class Segmenter:
    """Runs a model on a stream of frames; threshold and classes are read from the panel at each frame's start.

    They are read again when it is done, as a frame may be at work for a while beside others: what the controls no
    longer let through is left out at once, and what they let through now comes with the next frame that begins.

    Attributes:
        class_names: the name of each label.
        is_live: each frame gets the whole processor, as its age counts. Of what is not live several frames, or batches,
            are at work side by side, each on its share of the processor's threads: those that share one small network
            wait for one another at every layer, and for whatever else runs.
    """

    def __init__(self, model: SOLOv2, panel: ControlPanel, wait_each_step: bool = False, batch_size: int = 1) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            model: on the device that this segmenter owns from now on.
            panel: its threshold and classes count.
            wait_each_step: wait for the device after every step, so that each one's time is its own. Otherwise CUDA's
                steps are only queued until decoding waits, once, for all of them, and its time includes theirs.
            batch_size: how many frames run together. With more than 1 no result comes before a batch is full or the
                frames have ended, which suits files and not what is live.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._model, self._panel, self._wait_each_step = model, panel, wait_each_step
        self._batch_size = batch_size
        # After every small product numpy's second thread spins, which took a core from the network on two cores.
        threadpool_limits(limits=1, user_api="blas")
        self.class_names = model.class_names
        self.is_live = True

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield the result of each frame."""
        batches = self._batches(iter(frames))
        workers = 1 if self.is_live or self._model.device.type != "cpu" else min(torch.get_num_threads(), MAX_WORKERS)
        if workers == 1:
            results: Iterator[list[Result]] = (self.segment_together(*batch) for batch in batches)
        else:
            share = torch.get_num_threads() // workers
            results = ordered_map(
                lambda batch: self.segment_together(*batch), batches, workers, partial(use_threads, share)
            )
        for together in results:
            yield from map(self._narrowed, together)

    def _batches(self, frames: Iterator[Frame]) -> Iterator[tuple[list[Frame], Controls]]:
        while batch := list(islice(frames, self._batch_size)):
            yield batch, self._panel.current

    def _narrowed(self, result: Result) -> Result:
        controls, found = self._panel.current, result.instances
        keep = found.scores >= controls.score_threshold
        if (labels := self._labels(controls)) is not None:
            keep &= np.isin(found.labels, labels)
        return result if keep.all() else replace(result, instances=found.select(keep))

    def warm_up(self) -> None:
        """Run once on an HD picture, so that the first frame does not wait for the device's libraries."""
        self._model.predict(np.zeros((*WARM_UP_HW, 3), np.uint8))

    def segment(self, frame: Frame, controls: Controls) -> Result:
        """Return what is in one frame."""
        return self.segment_together([frame], controls)[0]

    def segment_together(self, frames: Sequence[Frame], controls: Controls) -> list[Result]:
        """Return what is in each frame; those of one size run in one batch, as others would have to be padded."""
        geometries = [self._model.geometry(frame.image) for frame in frames]
        results: dict[int, Result] = {}
        for geometry in dict.fromkeys(geometries):
            members = [i for i, other in enumerate(geometries) if other == geometry]
            results.update(zip(members, self._run([frames[i] for i in members], geometry, controls), strict=True))
        return [results[i] for i in range(len(frames))]

    @torch.inference_mode()
    def _run(self, frames: list[Frame], geometry: Geometry, controls: Controls) -> list[Result]:
        """Segment frames of one geometry in one batch; each is said to have taken its share of the time."""
        threshold = max(controls.score_threshold, REFERENCE.final_score_threshold)
        config = DecodeConfig(final_score_threshold=threshold)
        labels = self._labels(controls)
        moments = [time.perf_counter()]
        batch = self._model.preprocess([frame.image for frame in frames], geometry)
        moments.append(self._now())
        outputs = self._model(batch)
        moments.append(self._now())
        found = decode_batch(outputs, geometry, config, labels)
        moments.append(time.perf_counter())
        steps = zip(("preprocess", "network", "decode"), moments, moments[1:], strict=False)
        steps_ms = {name: 1000 * (end - start) / len(frames) for name, start, end in steps}
        return [Result(frame, instances, steps_ms) for frame, instances in zip(frames, found, strict=True)]

    def _now(self) -> float:
        if self._wait_each_step and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return time.perf_counter()

    def _labels(self, controls: Controls) -> tuple[int, ...] | None:
        if controls.classes is None:
            return None
        return tuple(label for label, name in enumerate(self.class_names) if name in controls.classes)


def use_threads(count: int) -> None:
    """Let torch's operations use `count` threads where the calling thread asks for them, and nowhere else."""
    torch.get_num_threads()  # would otherwise be decided at the first operation, as for every other thread
    threadpool_limits(limits=count, user_api="openmp")
