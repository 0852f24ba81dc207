"""A model for `app.annotate` that is loaded in no time, and finds rectangles that depend on the frame and its batch.

python -m tests.fake_annotation SECONDS ARGUMENTS   # app.annotate with it, so many seconds a frame
"""

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from app import annotate, annotate_run
from app.stream.frames import ControlPanel, Frame, Result
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop


class FakeModel(nn.Module):
    """Knows two classes, and has one weight."""

    class_names = ("person", "cat")
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))


class FakeSegmenter:
    """Finds a ring that wanders with the frame's time, and in every other frame a rectangle.

    Its scores depend on the place of a frame in its batch, as a network's rounding does.
    """

    seconds_per_frame = 0.0
    batches: list[list[int]]

    def __init__(self, model: FakeModel, panel: ControlPanel, batch_size: int = 1) -> None:
        self._panel, self._batch_size = panel, batch_size

    def warm_up(self) -> None:
        """Nothing is cold."""

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        remaining = iter(frames)
        while batch := list(islice(remaining, self._batch_size)):
            FakeSegmenter.batches.append([frame.index for frame in batch])
            for place, frame in enumerate(batch):
                time.sleep(self.seconds_per_frame)
                yield self._find(frame, place, len(batch))

    def _find(self, frame: Frame, place: int, company: int) -> Result:
        ring = np.ones((14, 18), np.bool_)
        ring[4:9, 5:12] = False
        crops = [MaskCrop(frame.index % 20, frame.pts % 30, ring), MaskCrop(2, 40, np.ones((9, 9), np.bool_))]
        scores = np.array([0.9 - place / 10 - company / 100, 0.5])
        keep = scores >= self._panel.current.score_threshold
        keep[1] &= frame.index % 2 == 0
        kept = np.flatnonzero(keep).tolist()
        hw = frame.image.shape[0], frame.image.shape[1]
        found = Instances.from_crops([crops[i] for i in kept], [float(scores[i]) for i in kept], kept, hw)
        return Result(frame, found, {"network": 1.0})


def use_fake_model(monkeypatch: pytest.MonkeyPatch, weight: float = 1.0) -> None:
    """Let `app.annotate` have these."""
    monkeypatch.setattr(FakeSegmenter, "batches", [], raising=False)
    monkeypatch.setattr(annotate_run, "load_model", lambda name, **options: FakeModel(weight))
    monkeypatch.setattr(annotate_run, "Segmenter", FakeSegmenter)


if __name__ == "__main__":
    FakeSegmenter.seconds_per_frame = float(sys.argv[1])
    with pytest.MonkeyPatch.context() as patched:
        use_fake_model(patched)
        sys.exit(annotate.main(sys.argv[2:]))
