"""From the network's outputs to instances, with outputs made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from solov2 import DecodeConfig, Instances
from solov2.decoding.decode import decode, points_nms, select_candidates
from solov2.decoding.geometry import Geometry
from solov2.masks.painting import paint
from solov2.masks.prob_masks import ProbMasks
from solov2.network.outputs import HeadOutputs
from solov2.variants import LEVEL_STRIDES

GRIDS = (40, 36, 24, 16, 12)
GEOMETRY = Geometry((100, 150), (60, 90), (64, 96))


def silent_outputs(mask_features: Tensor, classes: int = 3) -> HeadOutputs:
    """Outputs for (E, h, w) mask features in which no cell says anything."""
    channels = len(mask_features)
    return HeadOutputs(
        [torch.full((1, classes, size, size), -20.0) for size in GRIDS],
        [torch.zeros(1, channels, size, size) for size in GRIDS],
        mask_features[None],
    )


def speak(outputs: HeadOutputs, level: int, cell: tuple[int, int], label: int, score: float, kernel: Tensor) -> None:
    outputs.category_logits[level][0, label, cell[0], cell[1]] = torch.logit(torch.tensor(score))
    outputs.kernels[level][0, :, cell[0], cell[1]] = kernel


def random_outputs(seed: int, cells: int = 60) -> HeadOutputs:
    """Smooth masks asked for by cells all over the levels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 8, 4, 6, generator=generator)
    outputs = silent_outputs(torch.nn.functional.interpolate(coarse, size=GEOMETRY.mask_hw, mode="bilinear")[0])
    for _ in range(cells):
        level = int(torch.randint(0, 5, (), generator=generator))
        row, column = torch.randint(0, GRIDS[level], (2,), generator=generator).tolist()
        label = int(torch.randint(0, 3, (), generator=generator))
        score = 0.05 + 0.9 * float(torch.rand((), generator=generator))
        speak(outputs, level, (row, column), label, score, 2 * torch.randn(8, generator=generator))
    return outputs


def drawn(*masks: Tensor) -> Tensor:
    """Mask features whose channel k is far above zero inside mask k and far below it outside."""
    return torch.stack([40 * mask.float() - 20 for mask in masks])


def rectangle(top: int, left: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(GEOMETRY.mask_hw, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


def one_hot(channel: int, channels: int) -> Tensor:
    return torch.eye(channels)[channel]


def probs_of(found: Instances) -> Tensor:
    assert isinstance(found.form, ProbMasks)
    return found.form.probs


def assert_same(actual: Instances, expected: Instances) -> None:
    np.testing.assert_allclose(actual.scores, expected.scores, rtol=1e-5)
    np.testing.assert_array_equal(actual.labels, expected.labels)
    np.testing.assert_allclose(probs_of(actual).cpu().numpy(), probs_of(expected).numpy(), atol=1e-5)


def test_points_nms_keeps_maxima_of_the_window_that_ends_at_a_cell() -> None:
    scores = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros_like(scores)
    for image, label, row, column in np.ndindex(*scores.shape):
        window = scores[image, label, max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1]
        if scores[image, label, row, column] == window.max():
            expected[image, label, row, column] = scores[image, label, row, column]
    assert torch.equal(points_nms(scores), expected)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_and_the_id_map_painted_on_a_device_are_those_of_the_masks(seed: int) -> None:
    found = decode(random_outputs(seed), GEOMETRY)
    assert len(found) > 10
    boxes, id_map = paint(probs_of(found), GEOMETRY, 0.5)
    np.testing.assert_array_equal(boxes.numpy(), found.boxes)
    assert (id_map.numpy() != found.id_map).mean() < 1e-3  # rounding where a probability is all but the threshold


@pytest.mark.parametrize("seed", range(2))
def test_decoding_wanted_labels_gives_those_of_all_instances(seed: int) -> None:
    outputs = random_outputs(seed)
    everything = decode(outputs, GEOMETRY)
    expected = everything.select(np.isin(everything.labels, (0, 2)))
    assert 0 < len(expected) < len(everything)
    assert_same(decode(outputs, GEOMETRY, labels=(0, 2)), expected)


@pytest.mark.parametrize("seed", range(4))
def test_what_begins_below_the_final_threshold_is_no_candidate_and_changes_nothing(seed: int) -> None:
    outputs = random_outputs(seed)
    everything, config = decode(outputs, GEOMETRY), DecodeConfig(final_score_threshold=0.4)
    expected = everything.select(everything.scores >= 0.4)
    assert 0 < len(expected) < len(everything)
    assert_same(decode(outputs, GEOMETRY, config), expected)
    assert len(select_candidates(outputs, config).scores) < len(select_candidates(outputs, DecodeConfig()).scores)
    assert float(select_candidates(outputs, config).scores.min()) >= 0.4


def test_a_silent_network_finds_nothing() -> None:
    found = decode(silent_outputs(torch.zeros(4, *GEOMETRY.mask_hw)), GEOMETRY)
    assert len(found) == 0
    assert found.masks.shape == (0, 100, 150)
    assert found.boxes.shape == (0, 4)
    assert not found.id_map.any()
    boxes, id_map = paint(probs_of(found), GEOMETRY, 0.5)
    assert boxes.shape == (0, 4)
    assert id_map.shape == (100, 150)
    assert not id_map.any()


def test_no_wanted_label_finds_nothing() -> None:
    assert len(decode(random_outputs(0), GEOMETRY, labels=())) == 0


def test_only_the_best_candidates_are_looked_at_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = random_outputs(1)
    monkeypatch.setattr("solov2.decoding.decode.MAX_CANDIDATES", 5)
    found = decode(outputs, GEOMETRY, DecodeConfig(final_score_threshold=0.0))
    assert 1 <= len(found) <= 5

    scores = torch.cat([level.sigmoid().flatten() for level in outputs.category_logits])
    fifth_best = float(scores.sort(descending=True).values[4])
    fewer = decode(outputs, GEOMETRY, DecodeConfig(score_threshold=fifth_best - 1e-6, final_score_threshold=0.0))
    assert_same(found, fewer)


def three_rectangles() -> HeadOutputs:
    """Apart from each other, with scores 0.9, 0.5 and 0.3."""
    outputs = silent_outputs(drawn(rectangle(0, 0, 6, 6), rectangle(0, 12, 6, 6), rectangle(10, 2, 5, 9)))
    for channel, score in enumerate((0.9, 0.5, 0.3)):
        speak(outputs, 0, (10 * channel, 5), channel, score, one_hot(channel, 3))
    return outputs


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 3),
        ({"score_threshold": 0.4}, 2),
        ({"score_threshold": 0.95}, 0),
        ({"final_score_threshold": 0.49}, 2),
        ({"final_score_threshold": 1.0}, 0),
        ({"max_instances": 1}, 1),
        ({"max_before_nms": 2}, 2),
        ({"mask_threshold": 1.0}, 0),
    ],
)
def test_thresholds_and_limits_leave_the_best(changes: dict[str, Any], count: int) -> None:
    found = decode(three_rectangles(), GEOMETRY, replace(DecodeConfig(), **changes))
    assert len(found) == count
    np.testing.assert_allclose(found.scores, [0.9, 0.5, 0.3][:count], rtol=1e-5)
    np.testing.assert_array_equal(found.labels, [0, 1, 2][:count])


def test_every_level_asks_for_more_pixels_than_its_stride() -> None:
    for level, stride in enumerate(LEVEL_STRIDES):
        exact, more = torch.zeros(2, *GEOMETRY.mask_hw, dtype=torch.bool).unbind()
        exact.flatten()[:stride], more.flatten()[: stride + 1] = True, True
        outputs = silent_outputs(drawn(exact, more))
        speak(outputs, level, (2, 2), 0, 0.9, one_hot(0, 2))
        speak(outputs, level, (8, 8), 1, 0.8, one_hot(1, 2))
        assert decode(outputs, GEOMETRY).labels.tolist() == [1], level


def test_a_score_is_lowered_by_uncertain_masks_and_by_better_ones() -> None:
    outputs = silent_outputs(drawn(rectangle(2, 2, 8, 8)) / 20)
    speak(outputs, 0, (2, 2), 0, 0.9, torch.tensor([20.0]))
    speak(outputs, 0, (20, 20), 1, 0.9, torch.tensor([1.0]))
    speak(outputs, 0, (30, 30), 0, 0.8, torch.tensor([20.0]))
    found = decode(outputs, GEOMETRY)
    maskness = 1 / (1 + np.exp(-1))
    assert found.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.9 * maskness, 0.8 * np.exp(-2)], rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_areas_that_half_precision_cannot_count_are_right(dtype: torch.dtype) -> None:
    geometry = Geometry((1024, 1280), (1024, 1280), (1024, 1280))
    plane = torch.ones(geometry.mask_hw, dtype=torch.bool)
    assert plane.sum() > torch.finfo(torch.float16).max
    outputs = silent_outputs(drawn(plane))
    speak(outputs, 4, (6, 6), 1, 0.5, torch.ones(1))
    in_half = HeadOutputs(
        [level.to(dtype) for level in outputs.category_logits],
        [level.to(dtype) for level in outputs.kernels],
        outputs.mask_features.to(dtype),
    )
    found = decode(in_half, geometry)
    np.testing.assert_allclose(found.scores, [0.5], rtol=1e-3)
    assert found.areas.tolist() == [1024 * 1280]


def test_a_logit_that_is_not_a_number_is_no_candidate() -> None:
    outputs = three_rectangles()
    outputs.category_logits[2][0, :, 3, 3] = torch.nan
    np.testing.assert_allclose(decode(outputs, GEOMETRY).scores, [0.9, 0.5, 0.3], rtol=1e-5)


def test_the_255_best_of_more_instances_are_painted() -> None:
    geometry = Geometry((256, 272), (256, 272), (256, 288))  # stride 4: 64 x 72, blocks of 4 x 4
    block = torch.eye(288).reshape(288, 16, 18).repeat_interleave(4, 1).repeat_interleave(4, 2)
    outputs = silent_outputs(drawn(*block), classes=1)
    for k in range(272):
        row, column = divmod(k, 17)  # the last column of blocks is padding
        speak(outputs, 0, (2 * row, 2 * column), 0, 0.95 - 0.001 * k, one_hot(18 * row + column, 288))
    config = DecodeConfig(max_instances=300)
    found = decode(outputs, geometry, config)
    assert len(found) == 272
    assert sorted(np.unique(found.id_map)) == list(range(256))
    boxes, id_map = paint(probs_of(found), geometry, 0.5)
    np.testing.assert_array_equal(id_map.numpy(), found.id_map)
    np.testing.assert_array_equal(boxes.numpy(), found.boxes)


@pytest.mark.parametrize("name", ["score_threshold", "mask_threshold", "final_score_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_thresholds_outside_0_to_1_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be in \[0, 1\], got {value}$"):
        replace(DecodeConfig(), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max_before_nms", "max_instances"])
def test_limits_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0$"):
        replace(DecodeConfig(), **{name: 0})  # type: ignore[arg-type]


@pytest.mark.cuda
@pytest.mark.parametrize("seed", range(2))
def test_cuda_finds_what_the_cpu_finds(seed: int) -> None:
    outputs = random_outputs(seed)
    moved = HeadOutputs(
        [level.cuda() for level in outputs.category_logits],
        [level.cuda() for level in outputs.kernels],
        outputs.mask_features.cuda(),
    )
    expected, actual = decode(outputs, GEOMETRY), decode(moved, GEOMETRY)
    np.testing.assert_allclose(actual.scores, expected.scores, rtol=1e-4)
    np.testing.assert_array_equal(actual.labels, expected.labels)
    assert (actual.id_map != expected.id_map).mean() < 1e-3
    np.testing.assert_array_equal(actual.boxes, expected.boxes)
    np.testing.assert_array_equal(actual.select(np.array([2, 0])).boxes, expected.boxes[[2, 0]])
