"""SOLOv2 as a predictor: batches, thresholds, steps, and calls side by side."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from solov2 import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.predictor import Predictor, warm_up
from solov2.runtime.torch_predictor import TorchPredictor
from tests.made_nano import made_nano
from tests.parity.agreement import agreement
from tests.parity.recipe import make_picture

Image = np.ndarray


@pytest.fixture(scope="module")
def model() -> SOLOv2:
    """A nano whose random weights find something everywhere."""
    return made_nano(("person", "cat"))


def image(seed: int, size_hw: tuple[int, int] = (64, 104)) -> Image:
    return make_picture(*size_hw, seed)


def test_a_torch_predictor_finds_what_the_model_finds_at_a_threshold(model: SOLOv2) -> None:
    predictor: Predictor = TorchPredictor(model)
    everything = model.predict(image(1))
    for threshold in (0.0, 0.2, float(everything.scores[0]) - 1e-4, 1.0):
        (found,) = predictor.predict_batch([image(1)], threshold)
        expected = everything.scores[everything.scores >= threshold]
        np.testing.assert_allclose(found.scores, expected, atol=1e-5)


@pytest.mark.parametrize(("labels", "found_labels"), [(None, {0, 1}), ([1], {1}), ([0, 1], {0, 1}), ([], set())])
def test_only_the_labels_that_are_asked_for_are_found(
    model: SOLOv2, labels: list[int] | None, found_labels: set[int]
) -> None:
    (found,) = TorchPredictor(model).predict_batch([image(1)], 0.0, labels)
    assert set(found.labels.tolist()) == found_labels


def test_a_batch_finds_what_is_found_one_by_one_in_the_same_order(model: SOLOv2) -> None:
    images = [image(1), image(2, (96, 60)), image(3), image(4), image(5)]
    predictor = TorchPredictor(model, batch_size=5)
    together = predictor.predict_batch(images, 0.2)
    assert [found.image_hw for found in together] == [one.shape[:2] for one in images]
    alone = [predictor.predict_batch([one], 0.2)[0] for one in images]
    same = agreement(together, alone)
    assert same.matched >= 0.97
    assert abs(same.found - same.expected) <= 0.03 * same.expected


def test_each_step_is_timed_where_that_is_asked_for(model: SOLOv2) -> None:
    predictor = TorchPredictor(model)
    warm_up(predictor)
    steps_ms: dict[str, float] = {}
    predictor.predict_batch([image(1), image(2, (96, 60))], steps_ms=steps_ms)
    assert list(steps_ms) == ["preprocess", "network", "decode"]
    assert all(ms > 0 for ms in steps_ms.values())


def test_calls_side_by_side_use_a_share_of_the_threads_each_and_leave_those_of_others_alone(
    model: SOLOv2, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    both_run = threading.Barrier(2, timeout=60)
    forward = model.forward

    def watched(images: torch.Tensor) -> HeadOutputs:
        seen.append(torch.get_num_threads())
        if predictor.workers > 1:
            both_run.wait()
            assert threads_of_another() == 2
        return forward(images)

    monkeypatch.setattr(model, "forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predictor = TorchPredictor(model)
        assert predictor.workers == 1
        predictor.predict_batch([image(1)])
        assert seen == [2]
        predictor = TorchPredictor(model, "throughput")
        assert predictor.workers == 2
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda seed: predictor.predict_batch([image(seed)]), range(4)))
        assert seen == [2, 1, 1, 1, 1]
        assert torch.get_num_threads() == threads_of_another() == 2
    finally:
        torch.set_num_threads(before)


def test_a_single_call_runs_on_fewer_threads_while_those_are_faster(
    model: SOLOv2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is made slow where two threads run it, as another process on a core makes it."""
    seen: list[int] = []
    forward = model.forward

    def watched(images: torch.Tensor) -> HeadOutputs:
        seen.append(torch.get_num_threads())
        outputs = forward(images)
        if seen[-1] == 2:
            time.sleep(1)
        return outputs

    monkeypatch.setattr(model, "forward", watched)
    monkeypatch.setattr("solov2.runtime.thread_count.PROBE_FIRST", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predictor = TorchPredictor(model)
        for _ in range(5):
            predictor.predict_batch([image(1)])
        assert seen == [2, 2, 1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def threads_of_another() -> int:
    """How many threads torch would use in a thread that is begun now."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_running_a_model_changes_no_thread_pool_of_the_process(model: SOLOv2) -> None:
    def pools() -> list[tuple[str, int]]:
        return [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]

    before = pools()
    hints: tuple[Literal["latency", "throughput"], ...] = ("latency", "throughput")
    for hint in hints:
        predictor = TorchPredictor(model, hint)
        assert predictor.predict_batch([image(1)])[0].id_map.any()
        assert pools() == before


def test_a_batch_size_below_one_is_refused(model: SOLOv2) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        TorchPredictor(model, batch_size=0)
