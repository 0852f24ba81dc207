"""The worker that owns the device: frames in, results out, one by one and in order."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from app.frames import ControlPanel, Controls, Frame, Result
from solov2 import DecodeConfig, SOLOv2
from solov2.decode import decode

REFERENCE = DecodeConfig()
WARM_UP_HW = (720, 1280)


class Segmenter:
    """Runs a model on a stream of frames; threshold and classes are read from the panel at each frame's start.

    Attributes:
        class_names: the name of each label.
    """

    def __init__(self, model: SOLOv2, panel: ControlPanel, wait_each_step: bool = False) -> None:
        """Keep the parts; nothing runs yet.

        Args:
            model: on the device that this segmenter owns from now on.
            panel: its threshold and classes count.
            wait_each_step: wait for the device after every step, so that each one's time is its own. Otherwise CUDA's
                steps are only queued until decoding waits, once, for all of them, and its time includes theirs.
        """
        self._model, self._panel, self._wait_each_step = model, panel, wait_each_step
        self.class_names = model.class_names

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield the result of each frame."""
        for frame in frames:
            yield self.segment(frame, self._panel.current)

    def warm_up(self) -> None:
        """Run once on an HD picture, so that the first frame does not wait for the device's libraries."""
        self._model.predict(np.zeros((*WARM_UP_HW, 3), np.uint8))

    @torch.inference_mode()
    def segment(self, frame: Frame, controls: Controls) -> Result:
        """Return what is in one frame."""
        threshold = max(controls.score_threshold, REFERENCE.final_score_threshold)
        config = DecodeConfig(final_score_threshold=threshold)
        moments = [time.perf_counter()]
        geometry = self._model.geometry(frame.image)
        batch = self._model.preprocess([frame.image], geometry)
        moments.append(self._now())
        outputs = self._model(batch)
        moments.append(self._now())
        instances = decode(outputs, geometry, config, self._labels(controls))
        moments.append(time.perf_counter())
        steps = zip(("preprocess", "network", "decode"), moments, moments[1:], strict=False)
        return Result(frame, instances, {name: 1000 * (end - start) for name, start, end in steps})

    def _now(self) -> float:
        if self._wait_each_step and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return time.perf_counter()

    def _labels(self, controls: Controls) -> tuple[int, ...] | None:
        if controls.classes is None:
            return None
        return tuple(label for label, name in enumerate(self.class_names) if name in controls.classes)
