from itertools import combinations

import numpy as np
import pytest

from app.drawing.palette import INK, instance_colour, instance_colours


def test_an_instance_keeps_its_colour() -> None:
    assert instance_colours(np.array([0, 1, 0])) == instance_colours(np.array([0, 1, 0]))


def test_the_colour_depends_on_the_class_and_the_order_within_it_only() -> None:
    alone = instance_colours(np.array([3, 3]))
    among_others = instance_colours(np.array([0, 3, 1, 3]))
    assert among_others[1::2] == alone


def test_a_colour_follows_the_track_id_whatever_the_order() -> None:
    labels = np.array([0, 0, 1])
    before, after = instance_colours(labels, (4, 7, 9)), instance_colours(labels, (7, 4, 9))
    assert after == [before[1], before[0], before[2]]
    assert len(set(before)) == 3


def test_no_instances_have_no_colours() -> None:
    assert instance_colours(np.array([], np.int64)) == []


@pytest.mark.parametrize("keys", [[(0, 0), (1, 0), (2, 0), (3, 0)], [(0, shade) for shade in range(7)]])
def test_neighbouring_classes_and_instances_look_different(keys: list[tuple[int, int]]) -> None:
    colours = [np.array(instance_colour(*key), int) for key in keys]
    assert min(np.abs(one - other).max() for one, other in combinations(colours, 2)) >= 25


@pytest.mark.parametrize("label", range(80))
def test_ink_is_legible_on_every_colour(label: int) -> None:
    for shade in range(21):
        lighter, darker = (_luminance(colour) + 0.05 for colour in (instance_colour(label, shade), INK))
        assert lighter / darker > 4.5  # what WCAG asks for text


def _luminance(colour: tuple[int, int, int]) -> float:
    encoded = np.array(colour) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
