"""The worker: frames in, results out, controls read at each frame's start."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch

from app.segmenter import Segmenter
from app.stream.frames import ControlPanel, Frame, Result
from solov2 import SOLOv2
from solov2.network.outputs import HeadOutputs
from tests.parity.agreement import agreement
from tests.parity.compare import build
from tests.parity.recipe import make_picture


@pytest.fixture(scope="module")
def model() -> SOLOv2:
    """A nano whose random weights find something everywhere."""
    return build("nano", 7, 0.0)


def frame(index: int, size_hw: tuple[int, int] = (60, 96)) -> Frame:
    return Frame(make_picture(*size_hw, index), index * 40, Fraction(1, 1000), 0.0, "made", index)


def test_results_come_one_by_one_in_order_with_their_frames(model: SOLOv2) -> None:
    segmenter = Segmenter(model, ControlPanel())
    frames = [frame(1), frame(2, (96, 60)), frame(3)]
    asked = []

    def ask() -> object:
        for one in frames:
            asked.append(one.index)
            yield one

    for count, result in enumerate(segmenter(ask()), 1):  # type: ignore[arg-type]
        assert asked == [1, 2, 3][:count]
        assert result.frame is frames[count - 1]
        assert result.instances.image_hw == result.frame.image.shape[:2]
    assert asked == [1, 2, 3]


def test_instances_are_those_of_the_model_at_the_panels_threshold(model: SOLOv2) -> None:
    panel = ControlPanel()
    segmenter = Segmenter(model, panel)
    everything = model.predict(frame(1).image)
    for threshold in (0.0, 0.2, float(everything.scores[0]) - 1e-4, 1.0):
        panel.update(score_threshold=threshold)
        (result,) = segmenter([frame(1)])
        expected = everything.scores[everything.scores >= threshold]
        np.testing.assert_allclose(result.instances.scores, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [(None, {0, 1}), ({"cat"}, {1}), ({"person", "cat"}, {0, 1}), ({"dog"}, set()), (set(), set())],
)
def test_only_the_panels_classes_are_found(model: SOLOv2, classes: set[str] | None, labels: set[int]) -> None:
    panel = ControlPanel()
    panel.update(score_threshold=0.0, classes=None if classes is None else frozenset(classes))
    (result,) = Segmenter(model, panel)([frame(1)])
    assert set(result.instances.labels.tolist()) == labels


def test_controls_are_read_anew_for_every_frame(model: SOLOv2) -> None:
    panel = ControlPanel()
    panel.update(score_threshold=0.05)
    results = Segmenter(model, panel)([frame(1), frame(1)])
    before = next(results)
    panel.update(classes=frozenset({"person"}))
    after = next(results)
    assert set(before.instances.labels.tolist()) == {0, 1}
    assert set(after.instances.labels.tolist()) == {0}


def test_what_the_controls_no_longer_let_through_is_left_out_of_frames_at_work_too(model: SOLOv2) -> None:
    panel = ControlPanel()
    panel.update(score_threshold=0.05)
    segmenter = Segmenter(model, panel)
    segmenter.is_live = False
    results = segmenter([frame(1)] * 3)
    before = next(results)
    time.sleep(0.5)  # the next frame has begun
    panel.update(score_threshold=0.2, classes=frozenset({"cat"}))
    after = next(results).instances
    is_left = (before.instances.labels == 1) & (before.instances.scores >= 0.2)
    assert 0 < is_left.sum() < len(before.instances)
    np.testing.assert_allclose(after.scores, before.instances.scores[is_left], atol=1e-5)
    assert set(after.labels.tolist()) == {1}


def test_each_step_is_timed_and_the_classes_are_the_models(model: SOLOv2) -> None:
    segmenter = Segmenter(model, ControlPanel())
    segmenter.warm_up()
    (result,) = segmenter([frame(1)])
    assert list(result.steps_ms) == ["preprocess", "network", "decode"]
    assert all(ms > 0 for ms in result.steps_ms.values())
    assert segmenter.class_names == ("person", "cat")


def test_a_batch_finds_what_is_found_one_by_one(model: SOLOv2) -> None:
    panel = ControlPanel()
    panel.update(score_threshold=0.2)
    frames = [frame(1), frame(2, (96, 60)), frame(3), frame(4), frame(5)]
    alone = list(Segmenter(model, panel)(frames))
    together = list(Segmenter(model, panel, batch_size=3)(frames))
    assert [result.frame for result in together] == frames
    assert_same_instances(together, alone)


def test_a_batch_waits_until_it_is_full_or_the_frames_have_ended(model: SOLOv2) -> None:
    asked = []

    def ask() -> Iterator[Frame]:
        for index in range(5):
            asked.append(index)
            yield frame(1)

    results = Segmenter(model, ControlPanel(), batch_size=3)(ask())
    counts = []
    for _ in results:
        counts.append(len(asked))
    assert counts == [3, 3, 3, 5, 5]
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        Segmenter(model, ControlPanel(), batch_size=0)


def test_frames_side_by_side_give_what_they_give_one_by_one(model: SOLOv2) -> None:
    frames = [frame(index, (60, 96) if index % 2 else (96, 60)) for index in range(5)]
    panel = ControlPanel()
    panel.update(score_threshold=0.05)
    expected = list(Segmenter(model, panel)(frames))
    segmenter = Segmenter(model, panel, batch_size=2)
    segmenter.is_live = False
    results = list(segmenter(frames))
    assert [result.frame for result in results] == frames
    assert_same_instances(results, expected)


def test_what_is_live_is_segmented_in_the_callers_thread_and_files_side_by_side_on_a_share_each(
    model: SOLOv2, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[str, int]] = set()
    forward = model.forward

    def watched(images: torch.Tensor) -> HeadOutputs:
        seen.add((threading.current_thread().name.split("_")[0], torch.get_num_threads()))
        return forward(images)

    monkeypatch.setattr(model, "forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        segmenter = Segmenter(model, ControlPanel())
        list(segmenter([frame(1)]))
        assert seen == {(threading.current_thread().name, 4)}
        seen.clear()
        segmenter.is_live = False
        for count, _ in enumerate(segmenter([frame(index) for index in range(8)])):
            if count == 0:
                assert threads_of_another() == 4  # the shares are the workers' own
        assert seen == {("in-order", 1)}
        assert torch.get_num_threads() == threads_of_another() == 4
    finally:
        torch.set_num_threads(before)


def threads_of_another() -> int:
    """How many threads torch would use in a thread that is begun now."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def assert_same_instances(results: list[Result], expected: list[Result]) -> None:
    """But for those that rounding may bring over a threshold: the masks of random weights are noise."""
    same = agreement([result.instances for result in results], [result.instances for result in expected])
    assert same.matched >= 0.97
    assert abs(same.found - same.expected) <= 0.03 * same.expected
