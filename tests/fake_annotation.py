"""A model for `app.annotate` that is loaded in no time, and finds rectangles that depend on the frame and its batch.

python -m tests.fake_annotation SECONDS ARGUMENTS   # app.annotate with it, so many seconds a frame
"""

import sys
import time
from collections.abc import MutableMapping, Sequence

import numpy as np
import pytest

from app import annotate, annotate_run
from app.stream.frames import Picture
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop
from tests.fake_model import FakeModel

STEP = 9  # the difference in brightness from one frame of the tests' clips to the next


class FakeTorchPredictor:
    """Finds a ring that wanders with the brightness of the picture, and in every other picture a rectangle.

    Its scores depend on the place of a frame in its batch, as a network's rounding does.
    """

    seconds_per_frame = 0.0
    batches: list[list[int]]
    class_names = FakeModel.class_names
    workers = 1

    def __init__(self, model: FakeModel, engine: str = "eager", hint: str = "latency", batch_size: int = 1) -> None:
        self.batch_size = batch_size

    def predict_batch(
        self,
        images: Sequence[Picture],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        if steps_ms is None:  # to warm up
            return []
        numbers = [round(float(image.mean()) / STEP) for image in images]
        FakeTorchPredictor.batches.append(numbers)
        return [self._find(image, place, len(images)) for place, image in enumerate(images)]

    def _find(self, image: Picture, place: int, company: int) -> Instances:
        time.sleep(self.seconds_per_frame)
        number = round(float(image.mean()) / STEP)
        ring = np.ones((14, 18), np.bool_)
        ring[4:9, 5:12] = False
        crops = [MaskCrop(number % 20, 7 * number % 30, ring), MaskCrop(2, 40, np.ones((9, 9), np.bool_))]
        hw = image.shape[0], image.shape[1]
        fits = [crop.top + len(crop.mask) <= hw[0] and crop.left + len(crop.mask[0]) <= hw[1] for crop in crops]
        kept = [place for place in ([0, 1] if number % 2 == 0 else [0]) if fits[place]]
        scores = [0.9 - place / 10 - company / 100, 0.5]
        return Instances.from_crops([crops[i] for i in kept], [scores[i] for i in kept], kept, hw)


def use_fake_model(monkeypatch: pytest.MonkeyPatch, weight: float = 1.0) -> None:
    """Let `app.annotate` have these."""
    monkeypatch.setattr(FakeTorchPredictor, "batches", [], raising=False)
    monkeypatch.setattr(annotate_run, "load_runnable", lambda *_: FakeModel(weight))
    monkeypatch.setattr(annotate_run, "open_predictor", FakeTorchPredictor)


if __name__ == "__main__":
    FakeTorchPredictor.seconds_per_frame = float(sys.argv[1])
    with pytest.MonkeyPatch.context() as patched:
        use_fake_model(patched)
        sys.exit(annotate.main(sys.argv[2:]))
