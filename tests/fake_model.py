"""A model for `app.webcam` that is loaded in no time and finds nothing."""

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch

from app import webcam_run
from app.stream.frames import ControlPanel, Frame, Result
from solov2 import Instances
from solov2.runtime.device import find_dtype


class FakeModel:
    """Knows two classes."""

    class_names = ("person", "cat")


class FakeSegmenter:
    """Finds nothing; calls `on_frame` with each frame, and remembers the panels it was made with."""

    panels: list[ControlPanel]
    on_frame: Callable[[Frame], None]

    def __init__(self, model: FakeModel, panel: ControlPanel) -> None:
        FakeSegmenter.panels.append(panel)

    def warm_up(self) -> None:
        """Nothing is cold."""

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            FakeSegmenter.on_frame(frame)
            yield nothing_in(frame)


def nothing_in(frame: Frame) -> Result:
    """The result of a frame in which nothing was found."""
    return Result(frame, Instances.empty((frame.image.shape[0], frame.image.shape[1])), {"network": 1.0})


def use_fake_model(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `app.webcam` have these, and no window; return the list of the names that it loads."""
    names: list[str] = []

    def load_model(name: str, device: torch.device, dtype: str) -> FakeModel:
        find_dtype(dtype, device)  # as the real one does before it loads anything
        names.append(name)
        return FakeModel()

    monkeypatch.setattr(FakeSegmenter, "panels", [], raising=False)
    monkeypatch.setattr(FakeSegmenter, "on_frame", staticmethod(lambda frame: None), raising=False)
    monkeypatch.setattr(webcam_run, "load_model", load_model)
    monkeypatch.setattr(webcam_run, "Segmenter", FakeSegmenter)
    monkeypatch.setattr(webcam_run, "has_display", lambda: False)
    return names
