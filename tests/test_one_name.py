"""Things with two names keep the better one; neighbours and things inside others stay."""

import numpy as np

from app.processors.one_name import OneName
from solov2 import Instances
from tests.fake_instances import rectangles, result_of

IMAGE = np.zeros((240, 320, 3), np.uint8)


def labels_left(instances: Instances) -> list[int]:
    result = OneName()(result_of(IMAGE, instances))
    assert result.steps_ms.keys() == {"names"}
    return [int(label) for label in result.instances.labels]


def test_the_better_of_two_names_for_the_same_pixels_stays() -> None:
    dog_and_cat = [(20, 20, 120, 120), (22, 20, 120, 118), (200, 20, 300, 120)]
    assert labels_left(rectangles((240, 320), dog_and_cat, [16, 15, 0])) == [16, 0]


def test_what_lies_inside_or_beside_another_stays() -> None:
    boxes = [(20, 20, 220, 220), (100, 100, 140, 140), (60, 20, 260, 220)]
    assert labels_left(rectangles((240, 320), boxes, [0, 27, 0])) == [0, 27, 0]


def test_one_that_is_left_out_takes_no_other_with_it() -> None:
    boxes = [(20, 20, 120, 120), (30, 20, 130, 120), (40, 20, 140, 120)]  # each nearly the one before, not the next
    assert labels_left(rectangles((240, 320), boxes, [1, 2, 3])) == [1, 3]


def test_a_picture_without_instances_passes() -> None:
    assert labels_left(Instances.empty((240, 320))) == []
