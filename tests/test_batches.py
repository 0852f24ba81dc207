"""The stream of training batches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solov2.data.coco_dataset import CocoDataset
from solov2.errors import DatasetError
from solov2.training.batches import Batch, collate_batch, steps_per_epoch, training_batches
from solov2.training.targets import GroundTruth, Targets
from solov2.training.train_config import TrainConfig
from solov2.variants import PIXEL_MEAN, VARIANTS
from tests.fake_dataset import write_coco

ROW = VARIANTS["light-r18"]
CUT = TrainConfig(
    variant="light-r18",
    epochs=2,
    batch_size=2,
    canvases=((64, 96), (96, 64)),
    scale_range=(0.6, 1.6),
    colour_jitter=True,
)
WHOLE = TrainConfig(variant="light-r18", epochs=2, batch_size=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CocoDataset:
    folder = tmp_path_factory.mktemp("data")
    write_coco(folder / "pictures", folder / "train.json", count=7, size_hw=(64, 96))
    return CocoDataset(folder / "pictures", folder / "train.json")


def batches(
    dataset: CocoDataset, config: TrainConfig, epoch: int = 0, first_step: int = 0, workers: int = 0
) -> list[Batch]:
    return list(training_batches(dataset, ROW, config, epoch, first_step=first_step, workers=workers))


def assert_same(actual: list[Batch], expected: list[Batch]) -> None:
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        for mine, theirs in zip(one.targets, other.targets, strict=True):
            assert isinstance(mine, Targets)
            assert isinstance(theirs, Targets)
            assert torch.equal(mine.labels, theirs.labels)
            assert torch.equal(mine.cells, theirs.cells)
            assert torch.equal(mine.instances, theirs.instances)
            assert torch.equal(mine.masks, theirs.masks)


def assert_different(one: list[Batch], other: list[Batch]) -> None:
    assert not all(torch.equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("config", [CUT, WHOLE], ids=["cut", "whole"])
def test_an_epoch_depends_on_the_seed_and_the_epoch_alone(dataset: CocoDataset, config: TrainConfig) -> None:
    first = batches(dataset, config)
    torch.manual_seed(99)
    assert_same(batches(dataset, config), first)
    assert_different(batches(dataset, config, epoch=1), first)
    assert_different(batches(dataset, replace(config, seed=1)), first)


def test_worker_processes_change_nothing(dataset: CocoDataset) -> None:
    assert_same(batches(dataset, CUT, workers=1), batches(dataset, CUT))


@pytest.mark.parametrize("first_step", [1, 2, 3])
def test_an_epoch_entered_late_goes_on_as_if_run_through(dataset: CocoDataset, first_step: int) -> None:
    assert_same(batches(dataset, CUT, first_step=first_step), batches(dataset, CUT)[first_step:])


def test_canvases_are_the_chosen_ones_and_one_for_each_batch(dataset: CocoDataset) -> None:
    shapes = {tuple(batch.pixels.shape) for epoch in range(3) for batch in batches(dataset, CUT, epoch)}
    assert shapes == {(2, 3, 64, 96), (2, 3, 96, 64)}


def test_a_mosaic_has_the_batchs_canvas_and_four_times_the_instances(dataset: CocoDataset) -> None:
    mosaics = replace(CUT, mosaic=1.0, scale_range=(1.0, 1.0))
    found = batches(dataset, mosaics)
    assert {tuple(batch.pixels.shape) for batch in found} <= {(2, 3, 64, 96), (2, 3, 96, 64)}
    counts = [len(dataset.sample(index).labels) for index in range(len(dataset))]
    assert min(counts) >= 1
    assert all(len(target.masks) > max(counts) for batch in found for target in batch.targets)
    assert_same(batches(dataset, mosaics, workers=1), found)


def test_whole_pictures_are_padded_to_multiples_of_32(dataset: CocoDataset) -> None:
    variant = replace(ROW, train_short_px=(50, 70), long_px=100)
    for batch in training_batches(dataset, variant, WHOLE, 0):
        assert batch.pixels.dtype == torch.uint8
        height, width = batch.pixels.shape[2:]
        assert height % 32 == width % 32 == 0
        assert all(target.masks.shape[1:] == (height // 4, width // 4) for target in batch.targets)


def test_each_picture_is_shown_once_and_an_incomplete_batch_is_left_out(dataset: CocoDataset) -> None:
    times = times_shown(dataset, WHOLE)
    assert sorted(times) == [0, 1, 1, 1, 1, 1, 1]


def times_shown(dataset: CocoDataset, config: TrainConfig) -> list[int]:
    """How often an epoch of whole pictures shows each one of 64x96, mirrored or not."""
    as_they_are = replace(ROW, train_short_px=(64,), long_px=96)
    stored = [dataset.picture(index) for index in range(len(dataset))]
    times = [0] * len(dataset)
    for batch in training_batches(dataset, as_they_are, config, 0):
        for pixels in batch.pixels.permute(0, 2, 3, 1).numpy():
            for k, own in enumerate(stored):
                times[k] += (pixels == own).all() or (pixels == own[:, ::-1]).all()
    return times


@pytest.mark.parametrize(("batch_size", "repeats", "steps"), [(2, 1, 3), (7, 1, 1), (8, 1, 1), (2, 2, 7)])
def test_an_epoch_has_as_many_steps_as_full_batches_but_at_least_one(
    dataset: CocoDataset, batch_size: int, repeats: int, steps: int
) -> None:
    assert steps_per_epoch(dataset, replace(CUT, batch_size=batch_size, repeats=repeats)) == steps


@pytest.mark.parametrize(("exponent", "shown"), [(0.0, [1, 1, 1, 1]), (0.5, [1, 1, 2, 3]), (1.0, [1, 1, 4, 9])])
def test_pictures_of_many_instances_are_shown_more_often_when_asked(
    tmp_path: Path, exponent: float, shown: list[int]
) -> None:
    content = write_coco(tmp_path / "pictures", tmp_path / "train.json", count=4, size_hw=(64, 96))
    bar = next(one for one in content["annotations"] if one["category_id"] == 7)
    content["annotations"] = [
        bar | {"id": 10 * picture + k, "image_id": picture}
        for picture, count in [(2, 1), (3, 4), (4, 9)]
        for k in range(count)
    ]
    (tmp_path / "train.json").write_text(json.dumps(content))
    crowded = CocoDataset(tmp_path / "pictures", tmp_path / "train.json")
    config = replace(WHOLE, batch_size=1, crowd_exponent=exponent)
    assert [len(crowded.sample(index).labels) for index in range(4)] == [0, 1, 4, 9]
    assert times_shown(crowded, config) == shown


def test_a_set_smaller_than_a_batch_is_shown_whole(dataset: CocoDataset) -> None:
    (only,) = batches(dataset, replace(CUT, batch_size=8))
    assert len(only.pixels) == len(only.targets) == 7


def test_smaller_canvases_are_padded_right_and_below_with_their_masks() -> None:
    small = torch.full((3, 32, 64), 200, dtype=torch.uint8)
    large = torch.full((3, 64, 32), 100, dtype=torch.uint8)
    mask = np.zeros((1, 32, 64), np.uint8)
    mask[0, 8:24, 16:48] = 1
    truth = GroundTruth(np.array([1]), np.array([[16, 8, 48, 24]], np.float32), mask)
    nothing = GroundTruth(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, 64, 32), np.uint8))
    batch = collate_batch([(small, truth), (large, nothing)], ROW, 2)
    assert batch.pixels.shape == (2, 3, 64, 64)
    padding = torch.tensor(PIXEL_MEAN).round().to(torch.uint8)[:, None]
    assert bool((batch.pixels[0, :, :32] == 200).all())
    assert torch.equal(batch.pixels[0, :, 32:].flatten(1), padding.expand(3, 32 * 64))
    assert torch.equal(batch.pixels[1, :, :, 32:].flatten(1), padding.expand(3, 64 * 32))
    expected = torch.zeros(16, 16)
    expected[2:6, 4:12] = 1
    assert torch.equal(batch.targets[0].masks[0], expected)
    first = batch.targets[1]
    assert isinstance(first, Targets)
    assert len(first.cells) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_picture_is_one_line_from_worker_processes_too(tmp_path: Path, workers: int) -> None:
    write_coco(tmp_path / "pictures", tmp_path / "train.json", count=2, size_hw=(64, 96))
    broken = CocoDataset(tmp_path / "pictures", tmp_path / "train.json")
    (tmp_path / "pictures" / "train_002.png").unlink()
    with pytest.raises(DatasetError, match=r"^could not read \S*train_002\.png, which \S*train\.json names$"):
        batches(broken, CUT, workers=workers)
