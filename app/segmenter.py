"""The worker that owns the device: frames in, results out, one by one and in order."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from app.frames import ControlPanel, Controls, Frame, Result
from solov2 import DecodeConfig, SOLOv2
from solov2.decode import decode


class Segmenter:
    """Runs a model on a stream of frames; threshold and classes are read from the panel at each frame's start.

    Attributes:
        class_names: the name of each label.
    """

    def __init__(self, model: SOLOv2, panel: ControlPanel) -> None:
        """Keep the parts; nothing runs yet."""
        self._model, self._panel = model, panel
        self.class_names = model.class_names

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield the result of each frame."""
        for frame in frames:
            yield self.segment(frame, self._panel.current)

    def warm_up(self) -> None:
        """Run once on an HD picture, so that the first frame does not wait for the device's libraries."""
        self._model.predict(np.zeros((720, 1280, 3), np.uint8))

    @torch.inference_mode()
    def segment(self, frame: Frame, controls: Controls) -> Result:
        """Return what is in one frame.

        On CUDA the steps are only queued until `decode` waits, once, for all of them: its time then includes theirs.
        """
        config = DecodeConfig(final_score_threshold=max(controls.score_threshold, DecodeConfig().final_score_threshold))
        started = time.perf_counter()
        geometry = self._model.geometry(frame.image)
        batch = self._model.preprocess([frame.image], geometry)
        preprocessed = time.perf_counter()
        outputs = self._model(batch)
        computed = time.perf_counter()
        instances = decode(outputs, geometry, config, self._labels(controls))
        decoded = time.perf_counter()
        steps_ms = {
            "preprocess": 1000 * (preprocessed - started),
            "network": 1000 * (computed - preprocessed),
            "decode": 1000 * (decoded - computed),
        }
        return Result(frame, instances, steps_ms)

    def _labels(self, controls: Controls) -> tuple[int, ...] | None:
        if controls.classes is None:
            return None
        return tuple(label for label, name in enumerate(self.class_names) if name in controls.classes)
