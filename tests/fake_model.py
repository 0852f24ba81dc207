"""A model for `app.webcam` and the page that is loaded in no time and finds nothing."""

from collections.abc import Callable, MutableMapping, Sequence

import pytest
import torch
from torch import nn

from app import webcam_outputs, webcam_run
from app.stream.frames import Picture
from solov2 import Instances
from solov2.runtime.device import find_dtype
from solov2.variants import VARIANTS
from tests.fake_stream import nothing_in


class FakeModel(nn.Module):
    """Knows two classes, and has one weight."""

    class_names = ("person", "cat")
    variant = VARIANTS["nano"]
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))


class FakeTorchPredictor:
    """Finds nothing; calls `on_image` with the number of each image, and remembers what it was asked for."""

    on_image: Callable[[int], object]
    asked: list[tuple[float, tuple[int, ...] | None]]
    class_names = FakeModel.class_names
    workers = batch_size = 1

    def __init__(self, model: FakeModel, engine: str = "eager", hint: str = "latency") -> None:
        self._count = 0

    def predict_batch(
        self,
        images: Sequence[Picture],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        if steps_ms is not None:  # not to warm up
            for _ in images:
                FakeTorchPredictor.on_image(self._count)
                self._count += 1
            FakeTorchPredictor.asked.append((score_threshold, None if labels is None else tuple(labels)))
            steps_ms["network"] = 1.0
        return [nothing_in(image) for image in images]


def use_fake_predictor(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    """Let `module` run its models by this."""
    monkeypatch.setattr(FakeTorchPredictor, "on_image", staticmethod(lambda number: None), raising=False)
    monkeypatch.setattr(FakeTorchPredictor, "asked", [], raising=False)
    monkeypatch.setattr(module, "open_predictor", FakeTorchPredictor)


def use_fake_model(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `app.webcam` have these, and no window; return the list of the names that it loads."""
    names: list[str] = []

    def load_runnable(name: str, device: torch.device, dtype: str, _: object) -> FakeModel:
        find_dtype(dtype, device)  # as the real one does before it loads anything
        names.append(name)
        return FakeModel()

    use_fake_predictor(monkeypatch, webcam_run)
    monkeypatch.setattr(webcam_run, "load_runnable", load_runnable)
    monkeypatch.setattr(webcam_outputs, "has_display", lambda: False)
    return names
