"""Ids that last, on masks made by hand: one disc per thing."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from app.annotation.jsonl_lines import as_recorded, line_of, read_instances
from app.processors.affinity import buffered_ious, mask_ious
from app.processors.observation import Observation, observations
from app.processors.tracker import KEEP_SECONDS, Tracker
from app.processors.tracking import Tracking
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Frame, Result
from solov2 import Instances
from solov2.decoding.geometry import Geometry
from solov2.masks.mask_crop import MaskCrop

HW = (180, 320)
FRAME_SECONDS = 0.04


def disc(x: float, y: float = 90, radius: int = 20, category: int = 0, score: float = 0.9) -> Observation:
    rows, columns = np.ogrid[: HW[0], : HW[1]]
    return of_mask((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, category, score)


def of_mask(mask: np.ndarray, category: int = 0, score: float = 0.9) -> Observation:
    (observation,) = observations(Instances.from_masks(mask[None], [score], [category]))
    return observation


def ids_of(frames: Iterable[Sequence[Observation]], frame_seconds: float = FRAME_SECONDS) -> list[list[int]]:
    tracker = Tracker()
    return [tracker.update(frame, index * frame_seconds) for index, frame in enumerate(frames)]


def test_what_moves_keeps_its_id() -> None:
    assert ids_of([disc(30 + 8 * step)] for step in range(20)) == [[1]] * 20


def test_the_order_of_the_instances_does_not_matter() -> None:
    one, other = disc(60), disc(200)
    assert ids_of([[one, other], [other, one], [other], [one]]) == [[1, 2], [2, 1], [2], [1]]


def test_what_moves_faster_than_its_own_size_is_followed_by_its_velocity() -> None:
    speeds = [4.0 * min(step, 10) for step in range(14)]  # cells per frame, 40 at the end: the disc is 41 wide
    places = np.cumsum([20.0, *speeds[:11]])
    assert max(later - earlier for earlier, later in pairwise(places)) == 40
    assert ids_of([disc(x)] for x in places) == [[1]] * len(places)


def test_two_that_cross_keep_their_ids() -> None:
    frames = [[disc(60 + 8 * step, 70), disc(260 - 8 * step, 100)] for step in range(24)]
    assert ids_of(frames) == [[1, 2]] * 24


def test_what_is_hidden_for_less_than_a_second_keeps_its_id() -> None:
    hidden = round(0.8 * KEEP_SECONDS / FRAME_SECONDS)
    ids = ids_of([[disc(100)]] * 5 + [[]] * hidden + [[disc(104)]])
    assert (ids[4], ids[-1]) == ([1], [1])


def test_what_comes_back_after_longer_gets_a_new_id() -> None:
    hidden = round(1.2 * KEEP_SECONDS / FRAME_SECONDS)
    assert ids_of([[disc(100)]] + [[]] * hidden + [[disc(100)]])[-1] == [2]


def test_frames_that_are_seconds_apart_are_followed_too() -> None:
    assert ids_of([[disc(100 + 5 * step)] for step in range(5)], frame_seconds=10.0) == [[1]] * 5


def test_a_clock_that_goes_back_starts_anew_in_the_end() -> None:
    tracker = Tracker()
    assert tracker.update([disc(100)], 60.0) == [1]
    for index in range(4):
        tracker.update([], index * FRAME_SECONDS)
    assert tracker.update([disc(100)], 1.0) == [2]


def test_what_was_not_seen_for_half_a_second_is_found_again_nearby() -> None:
    """Its mask overlaps none of before; one frame of it would not be enough."""
    hidden: list[list[Observation]] = [[]] * 12
    assert ids_of([*[[disc(100)]] * 5, *hidden, [disc(150)]])[-1] == [1]
    assert ids_of([*[[disc(100)]] * 5, *hidden, [disc(150, category=1)]])[-1] == [2]
    assert ids_of([*[[disc(100)]] * 5, *hidden, [disc(230)]])[-1] == [2]
    assert ids_of([[disc(100)], *hidden, [disc(150)]])[-1] == [2]
    assert ids_of([*[[disc(100)]] * 5, *hidden, [disc(150), disc(104)]])[-1] == [2, 1], "masks choose first"


def test_the_buffered_iou_of_boxes_is_that_of_boxes_of_twice_the_size() -> None:
    nothing = of_mask(np.zeros(HW, bool))
    masks = [one.mask for one in (disc(100, 90, 20), disc(150, 90, 20), disc(300), nothing)]  # 41 wide, 82 with buffer
    ious = buffered_ious(masks, masks)
    assert ious[0] == pytest.approx([1, 32 / (2 * 82 - 32), 0, 0])
    assert ious[3].tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(ious, ious.T)
    assert buffered_ious(masks, []).shape == (4, 0)


def test_an_id_belongs_to_one_category() -> None:
    assert ids_of([[disc(100)], [disc(100, category=1)], [disc(100), disc(100, category=1)]]) == [[1], [2], [1, 2]]


def test_a_sure_instance_chooses_before_an_unsure_one_that_fits_better() -> None:
    assert ids_of([[disc(100)], [disc(100, score=0.3), disc(112)]]) == [[1], [2, 1]]


def test_an_unsure_instance_takes_what_is_left() -> None:
    assert ids_of([[disc(100)], [disc(104, score=0.3)], [disc(108)]]) == [[1], [1], [1]]


def test_a_passing_double_does_not_take_the_id_along() -> None:
    """The double fits better while both are there, and better still where it remains behind for a frame."""
    alone, both = [disc(100, score=0.6)], [disc(109, score=0.48), disc(102, score=0.2)]
    ids = ids_of([alone] * 8 + [both] + [[disc(104, score=0.6)]] * 3)
    assert ids[8:] == [[1, 2], [1], [1], [1]]


def test_what_was_lumped_together_comes_apart_with_the_ids_of_its_parts() -> None:
    """A mask of two things, known for long, does not take the one that is seen apart and is left alone for a frame."""
    boy, girl = disc(100, score=0.5), disc(140, y=80, radius=32, score=0.5)
    both = of_mask(plane_of(boy) | plane_of(girl), score=0.5)
    turned = disc(109, score=0.4)
    ids = ids_of([[both]] * 8 + [[both, turned], [both, turned], [boy], [boy, girl]])
    assert ids[8:] == [[1, 2], [1, 2], [2], [2, 1]]


def plane_of(observation: Observation) -> np.ndarray:
    plane = np.zeros(HW, bool)
    observation.mask.window(plane)[:] = observation.mask.mask
    return plane


def test_masks_decide_where_boxes_cannot() -> None:
    """Two triangles share one box; each lasts through a change of order."""
    lower = np.tri(100, 100, -2, dtype=bool)
    planes = []
    for triangle in (lower, ~np.tri(100, 100, 2, dtype=bool)):
        plane = np.zeros(HW, bool)
        plane[40:140, 100:200] = triangle
        planes.append(of_mask(plane))
    assert ids_of([planes, planes[::-1], planes]) == [[1, 2], [2, 1], [1, 2]]


def test_an_instance_without_a_pixel_gets_no_id_and_uses_none_up() -> None:
    nothing = of_mask(np.zeros(HW, bool))
    assert ids_of([[nothing, disc(100)], [nothing], [disc(100), disc(200)]]) == [[0, 1], [0], [1, 2]]


@pytest.mark.parametrize("image_hw", [(1, 1), (3, 2000), (2160, 3840)])
def test_a_thing_of_one_pixel_can_be_followed(image_hw: tuple[int, int]) -> None:
    y, x = image_hw[0] - 1, image_hw[1] - 1
    crop = MaskCrop(y, x, np.ones((1, 1), bool))
    (pixel,) = observations(Instances.from_crops([crop], [0.9], [0], image_hw))
    assert pixel.mask.mask.tolist() == [[True]]
    assert ids_of([[pixel], [pixel]]) == [[1], [1]]


def test_ids_are_never_used_again() -> None:
    frames: list[list[Observation]] = []
    for step in range(6):
        frames += [[disc(30 + 50 * step)], *([[]] * 40)]
    assert [ids for ids in ids_of(frames) if ids] == [[1], [2], [3], [4], [5], [6]]


def test_the_iou_of_masks_is_that_of_their_pixels() -> None:
    some = [disc(100, 80, 30), disc(120, 90, 25), disc(50), disc(250), of_mask(np.zeros(HW, bool))]
    planes = np.stack([plane_of(observation) for observation in some])
    shared = (planes[:, None] & planes).sum((2, 3))
    unions = (planes[:, None] | planes).sum((2, 3))
    masks = [observation.mask for observation in some]
    np.testing.assert_allclose(mask_ious(masks, masks), shared / np.maximum(unions, 1))
    assert 0.3 < shared[0, 1] / unions[0, 1] < 0.7
    assert shared[0, 3] == 0
    assert mask_ious(masks, []).shape == (5, 0)


def test_a_mask_that_was_moved_out_of_the_picture_overlaps_only_what_it_covers() -> None:
    """Its cells beyond an edge are not those at the other edge."""
    wide = of_mask(np.ones(HW, bool))
    moved = wide.moved(-100, 200).mask
    covered, area = (HW[0] - 100) * (HW[1] - 200), HW[0] * HW[1]
    assert mask_ious([wide.mask], [moved])[0] == pytest.approx([covered / (2 * area - covered)])
    assert mask_ious([wide.mask], [wide.moved(0, HW[1]).mask])[0] == [0]


def found(seed: int, image_hw: tuple[int, int] = (75, 130)) -> Instances:
    """Instances with blobs for masks, one of them empty."""
    geometry = Geometry.fit(image_hw, 128, 64)
    noise = torch.from_numpy(np.random.default_rng(seed).random((6, 1, 4, 7), np.float32))
    probs = torch.nn.functional.interpolate(noise, geometry.mask_hw, mode="bilinear")[:, 0]
    probs[3] = 0
    scores = np.array([0.91234567, 0.8, 0.6, 0.5, 0.49996, 0.3], np.float32)
    return Instances.from_probs(probs, scores, np.array([0, 1, 0, 0, 1, 0]), geometry)


def read_back(instances: Instances) -> Instances:
    """What a line of `instances.jsonl` holds of them."""
    frame = results_at(0)[0].frame
    line = json.loads(json.dumps(line_of(as_recorded(Result(frame, instances, {})), ("person", "cat"))))
    return read_instances(line["instances"], instances.image_hw)


def test_what_was_recorded_is_looked_at_as_what_was_found() -> None:
    for seed, image_hw in enumerate(((75, 130), (700, 500), (64, 128))):
        instances = found(seed, image_hw)
        with_a_pixel = [live for live in observations(instances) if live.mask.mask.size]
        assert len(with_a_pixel) == 5
        for live, read in zip(with_a_pixel, observations(read_back(instances)), strict=True):
            assert (live.category, live.score, live.mask.box) == (read.category, read.score, read.mask.box)
            assert np.array_equal(live.mask.mask, read.mask.mask)


def test_a_replay_of_what_was_recorded_goes_on_as_the_tracker_did() -> None:
    frames = [found(seed // 3) for seed in range(30)]
    whole, resumed = Tracker(), Tracker()
    expected = [whole.update(observations(frame), index * 0.04) for index, frame in enumerate(frames)]
    for index, frame in enumerate(frames[:17]):
        resumed.update(observations(read_back(frame)), index * 0.04)
    again = [resumed.update(observations(frame), (17 + index) * 0.04) for index, frame in enumerate(frames[17:])]
    assert again == expected[17:]
    assert len(set(map(tuple, expected))) > 3


def results_at(*pts: int) -> list[Result]:
    frames = [Frame(np.zeros((75, 130, 3), np.uint8), ticks, Fraction(1, 25), 0.0, "made", 0) for ticks in pts]
    return [Result(frame, found(0), {"network": 1.0}) for frame in frames]


def test_results_carry_ids_and_the_time_that_they_took() -> None:
    results = list(map(Tracking(ControlPanel(Controls(track=True))), results_at(0, 1, 2)))
    assert [result.track_ids for result in results] == [(1, 2, 3, 0, 4, 5)] * 3
    assert [list(result.steps_ms) for result in results] == [["network", "track"]] * 3


def test_tracking_can_be_switched_while_the_stream_runs_and_costs_nothing_while_off() -> None:
    panel = ControlPanel()
    results = map(Tracking(panel), results_at(0, 1, 2))
    first = next(results)
    panel.update(track=True)
    second = next(results)
    panel.update(track=False)
    third = next(results)
    assert (first.track_ids, second.track_ids, third.track_ids) == (None, (1, 2, 3, 0, 4, 5), None)
    assert not {"crops", "masks"} & vars(first.instances).keys()  # nothing was computed for it
    assert list(first.steps_ms) == ["network"]


def timed(work: Callable[..., Any], *arguments: object) -> tuple[float, Any]:
    """Return how much of the processor's time `work` takes in this thread, and what it returns."""
    started = time.thread_time()
    done = work(*arguments)
    return time.thread_time() - started, done


def test_ten_instances_of_hd_pictures_take_less_time_than_comparing_their_full_planes() -> None:
    rows, columns = np.ogrid[:720, :1280]
    masks = [(rows - 360) ** 2 + (columns - x) ** 2 <= 150**2 for x in range(200, 1200, 100)]
    tracker, took, of_planes = Tracker(), [], []
    for step in range(8):
        moved = [np.roll(mask, 4 * step, axis=1) for mask in masks]
        seconds, ids = timed(tracker.update, [of_mask(mask) for mask in moved], step * 0.04)
        assert ids == list(range(1, 11))
        took.append(seconds)
        of_planes.append(timed(compare_planes, moved, masks)[0])
    assert min(took) < min(of_planes)


def compare_planes(some: Sequence[npt.NDArray[np.bool_]], others: Sequence[npt.NDArray[np.bool_]]) -> list[int]:
    return [int((a & b).sum()) for a in some for b in others]
