"""Masks follow the picture, whatever is done to it."""

import numpy as np
import pytest
import torch

from solov2.data.coco_dataset import Sample
from solov2.training.augment import MIN_VISIBLE_PX, View, show, show_four
from solov2.training.targets import GroundTruth
from solov2.variants import PIXEL_MEAN

RED, BLUE = (250, 10, 10), (10, 10, 250)
BACKGROUND = (10, 250, 10)


def coloured() -> Sample:
    """A red and a blue rectangle on green: the colour of a pixel tells whose it is."""
    image = np.full((60, 90, 3), BACKGROUND, np.uint8)
    masks = np.zeros((2, 60, 90), np.uint8)
    masks[0, 10:40, 8:30] = 1
    masks[1, 20:55, 50:80] = 1
    image[masks[0] == 1], image[masks[1] == 1] = RED, BLUE
    return Sample(image, masks, np.array([0, 1], np.int64), np.array([True, False]))


def by_colour(pixels: torch.Tensor, colour: tuple[int, int, int]) -> np.ndarray:
    """The pixels of a (3, H, W) canvas that are nearer to `colour` than halfway to any other."""
    away = np.abs(pixels.numpy().astype(int) - np.array(colour)[:, None, None])
    return np.asarray((away <= 120).all(0))


def boxes_of(masks: np.ndarray) -> list[list[int]]:
    spots = [np.nonzero(mask) for mask in masks]
    return [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] for ys, xs in spots]


def assert_masks_lie_on_their_colours(pixels: torch.Tensor, truth: GroundTruth) -> None:
    colours = [(RED, BLUE)[label] for label in truth.labels]
    for mask, colour in zip(truth.masks, colours, strict=True):
        assert (by_colour(pixels, colour) != mask.astype(bool)).mean() < 0.01  # seams
    assert truth.boxes.tolist() == boxes_of(truth.masks)


@pytest.mark.parametrize("resized_hw", [(64, 96), (40, 60), (120, 180), (200, 64)])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_masks_and_boxes_follow_scale_crop_padding_and_mirror(
    resized_hw: tuple[int, int], offset: tuple[float, float], mirrored: bool
) -> None:
    pixels, truth = show(coloured(), View((64, 96), resized_hw, offset, mirrored))
    assert pixels.shape == (3, 64, 96)
    assert pixels.dtype == torch.uint8
    assert truth.masks.shape[1:] == (64, 96)
    assert len(truth.labels) >= 1
    assert_masks_lie_on_their_colours(pixels, truth)


def test_a_mosaic_shows_a_sample_in_each_quarter() -> None:
    views = [
        View((64, 96), (60, 90)),
        View((64, 96), (120, 180), (0.0, 0.0)),  # the blue one is out of sight
        View((64, 96), (40, 60), (0.5, 0.3), mirrored=True),
        View((64, 96), (64, 96), (0.0, 1.0)),
    ]
    pixels, truth = show_four([coloured()] * 4, views)
    assert pixels.shape == (3, 128, 192)
    assert truth.labels.tolist() == [0, 1, 0, 0, 1, 0, 1]
    for label, colour in enumerate((RED, BLUE)):
        painted = truth.masks[truth.labels == label].any(0)
        assert (by_colour(pixels, colour) != painted).mean() < 0.01  # seams
    assert truth.boxes.tolist() == boxes_of(truth.masks)
    quarters = [(int(box[1] >= 64), int(box[0] >= 96)) for box in truth.boxes]
    assert quarters == [(0, 0), (0, 0), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1)]
    alone, _ = show(coloured(), views[2])
    assert torch.equal(pixels[:, 64:, :96], alone)


def test_a_view_of_the_pictures_own_size_changes_nothing() -> None:
    sample = coloured()
    pixels, truth = show(sample, View((64, 96), (60, 90)))
    np.testing.assert_array_equal(pixels[:, :60, :90].permute(1, 2, 0).numpy(), sample.image)
    np.testing.assert_array_equal(truth.masks[:, :60, :90], sample.masks)
    padding = np.round(PIXEL_MEAN)[:, None]
    assert (pixels[:, 60:].flatten(1).numpy() == padding).all()
    assert (pixels[:, :, 90:].flatten(1).numpy() == padding).all()
    assert not truth.masks[:, 60:].any()


def test_mirroring_swaps_left_and_right() -> None:
    view = View((64, 96), (60, 90))
    pixels, truth = show(coloured(), view)
    mirrored_pixels, mirrored = show(coloured(), View((64, 96), (60, 90), mirrored=True))
    assert torch.equal(mirrored_pixels, pixels.flip(2))
    np.testing.assert_array_equal(mirrored.masks, truth.masks[:, :, ::-1])


def test_offsets_run_from_one_end_to_the_other() -> None:
    _, at_start = show(coloured(), View((64, 96), (240, 360), (0.0, 0.0)))
    _, at_end = show(coloured(), View((64, 96), (240, 360), (1.0, 1.0)))
    assert at_start.labels.tolist() == [0]
    assert at_end.labels.tolist() == [1]
    _, small = show(coloured(), View((64, 96), (30, 45), (1.0, 1.0)))
    assert not small.masks[:, :34, :].any()
    assert not small.masks[:, :, :51].any()


def test_instances_of_which_too_little_is_left_are_dropped() -> None:
    sample = coloured()
    sample.masks[0] = 0
    sample.masks[0, 0, :MIN_VISIBLE_PX] = 1
    assert show(sample, View((64, 96), (60, 90)))[1].labels.tolist() == [0, 1]
    sample.masks[0, 0, 0] = 0
    truth = show(sample, View((64, 96), (60, 90)))[1]
    assert truth.labels.tolist() == [1]
    assert truth.has_mask is not None
    assert truth.has_mask.tolist() == [False]


def test_a_picture_without_instances_is_shown() -> None:
    empty = Sample(coloured().image, np.zeros((0, 60, 90), np.uint8), np.zeros(0, np.int64), np.zeros(0, bool))
    _, truth = show(empty, View((64, 96), (60, 90), mirrored=True))
    assert truth.masks.shape == (0, 64, 96)
    assert truth.boxes.shape == (0, 4)


def test_colours_change_by_their_seed_alone_and_masks_do_not() -> None:
    plain, truth = show(coloured(), View((64, 96), (60, 90)))
    state = torch.random.get_rng_state()
    first, same_truth = show(coloured(), View((64, 96), (60, 90), colour_seed=1))
    again, _ = show(coloured(), View((64, 96), (60, 90), colour_seed=1))
    other, _ = show(coloured(), View((64, 96), (60, 90), colour_seed=2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, plain)
    np.testing.assert_array_equal(same_truth.masks, truth.masks)
    assert torch.equal(torch.random.get_rng_state(), state)
