"""Zones and lines: who is inside, who crosses, and what a file of them may hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.drawing.area_overlay import caption, draw_areas
from app.drawing.text import TextPainter
from app.processors.area_shares import LineShares, ZoneShares
from app.processors.presence import CONFIRM_FRAMES
from app.processors.watching import Watching
from app.sinks.area_table import AreaSink, AreaTable
from app.stream.areas import Area, AreaState, ClassCounts
from app.stream.controls import ControlPanel
from app.stream.events import Event
from app.stream.frames import Result
from app.zones_file import AreaError, check_areas, read_areas
from solov2.masks.mask_crop import MaskCrop
from tests.fake_walk import HW, LEFT_HALF, MIDDLE, Box, across, walked

NAMES = ("person", "cat")


def watched(results: list[Result], *areas: Area, panel: ControlPanel | None = None) -> list[Result]:
    watching = Watching(areas, NAMES, panel=panel or ControlPanel())
    return [watching(result) for result in results]


def events_of(results: list[Result]) -> list[Event]:
    return [event for result in results for event in result.events]


def kinds(results: list[Result]) -> list[str]:
    return [event.kind for event in events_of(results)]


def solid(x1: int, y1: int, x2: int, y2: int) -> MaskCrop:
    return MaskCrop(y1, x1, np.ones((y2 - y1, x2 - x1), np.bool_))


def test_the_share_in_a_zone_is_that_of_the_mask_and_not_of_its_box() -> None:
    corner = MaskCrop(40, 90, np.triu(np.ones((20, 20), np.bool_)))  # most of its pixels are on the right of 100
    assert ZoneShares(LEFT_HALF).share(solid(90, 40, 110, 60), HW) == pytest.approx(0.5)
    assert ZoneShares(LEFT_HALF).share(corner, HW) == pytest.approx(55 / 210)


def test_a_zone_in_pixels_is_the_same_as_in_fractions() -> None:
    pixels = Area("p", "zone", ((0, 0), (100, 0), (100, 100), (0, 100)), is_in_pixels=True)
    assert ZoneShares(pixels).share(solid(95, 0, 115, 100), HW) == pytest.approx(0.25)


def test_a_line_asks_only_masks_that_face_it() -> None:
    short = LineShares(Area("short", "line", ((0.5, 0.5), (0.5, 0.0))))
    assert short.share(solid(95, 10, 115, 30), HW) == pytest.approx(0.75)
    assert short.share(solid(95, 70, 115, 90), HW) is None


def test_an_instance_enters_and_leaves_a_zone_once_with_its_dwell_time() -> None:
    results = watched(walked(across(180, 0, -4)), LEFT_HALF)
    in_zone = [event for event in events_of(results) if event.kind in ("entered_zone", "left_zone")]
    assert [event.kind for event in in_zone] == ["entered_zone"]
    back = watched(walked(across(20, 180, 4)), LEFT_HALF)
    entered, left = (event for event in events_of(back) if event.kind in ("entered_zone", "left_zone"))
    assert entered.frame == CONFIRM_FRAMES - 1
    assert left.dwell_seconds == pytest.approx(left.seconds - entered.seconds - 0.1)
    assert left.box is not None
    assert left.box[0] > 90
    assert back[-1].areas[0].counts["person"] == ClassCounts(0, 1, 1, 1, left.dwell_seconds or 0.0)


def test_the_count_of_a_zone_is_told_when_it_changes() -> None:
    results = watched(walked(across(20, 180, 4)), LEFT_HALF)
    counts = [(event.category, event.count) for event in events_of(results) if event.kind == "zone_count"]
    assert counts == [("person", 1), ("person", 0)]


def test_an_instance_on_the_edge_of_a_zone_does_not_flicker() -> None:
    shaking: list[Box | None] = [(89 + number % 2, 40, 109 + number % 2, 60) for number in range(40)]
    assert kinds(watched(walked(shaking), LEFT_HALF)).count("entered_zone") == 1
    assert "left_zone" not in kinds(watched(walked(shaking), LEFT_HALF))


@pytest.mark.parametrize(("start", "end", "step", "direction"), [(20, 180, 4, "forward"), (160, 0, -40, "backward")])
def test_a_crossing_is_told_once_with_its_direction(start: int, end: int, step: int, direction: str) -> None:
    boxes = [across(start, end, step)[0]] * CONFIRM_FRAMES + across(start, end, step)
    results = watched(walked(boxes), MIDDLE)
    crossings = [event for event in events_of(results) if event.kind == "crossed_line"]
    assert [event.direction for event in crossings] == [direction]
    assert caption(results[-1].areas[0]) == ("middle: 1 forward, 0 back" if step > 0 else "middle: 0 forward, 1 back")


def test_going_round_the_end_of_a_line_is_no_crossing() -> None:
    short = Area("short", "line", ((0.5, 0.5), (0.5, 0.0)))
    around = across(20, 90, 10, top=10) + across(80, 120, 10, top=70) + across(120, 180, 10, top=10)
    assert "crossed_line" not in kinds(watched(walked(around), short))


def test_an_instance_appears_after_some_frames_and_leaves_after_a_second() -> None:
    boxes: list[Box | None] = [(20, 40, 40, 60)] * 10
    results = watched(walked([*boxes, *[None] * 30]), LEFT_HALF)
    assert kinds(results) == ["appeared", "entered_zone", "zone_count", "left_zone", "left", "zone_count"]
    left = events_of(results)[4]
    assert left.dwell_seconds == pytest.approx(0.9)
    assert left.seconds == pytest.approx(2.0)


def test_a_gap_of_less_than_a_second_is_no_departure_and_a_brief_mistake_no_event() -> None:
    box = (20, 40, 40, 60)
    assert kinds(watched(walked([box] * 5 + [None] * 8 + [box] * 5))) == ["appeared"]
    assert kinds(watched(walked([box] * (CONFIRM_FRAMES - 1) + [None] * 40))) == []


def test_other_classes_do_not_count_where_a_zone_names_its_own() -> None:
    only_cats = replace(LEFT_HALF, classes=frozenset({"cat"}))
    box = (20, 40, 40, 60)
    assert kinds(watched(walked([box] * 5), only_cats)) == ["appeared"]
    assert "entered_zone" in kinds(watched(walked([box] * 5, label=1), only_cats))


def test_counts_begin_again_and_keep_who_is_inside() -> None:
    panel = ControlPanel()
    watching = Watching([LEFT_HALF, MIDDLE], NAMES, panel=panel)
    results = [watching(result) for result in walked([(150, 40, 170, 60)] * 3 + [(20, 40, 40, 60)] * 3)]
    assert [state.counts["person"].entered for state in results[-1].areas] == [1, 0]
    assert results[-1].areas[1].counts["person"].backward == 1
    panel.update(count_resets=1)
    state = watching(walked([(20, 40, 40, 60)] * 7)[-1]).areas
    assert state[0].counts["person"] == ClassCounts(inside=1)
    assert state[1].counts["person"] == ClassCounts()


def test_events_hold_masks_where_that_is_asked_for() -> None:
    watching = Watching([], NAMES, panel=ControlPanel(), gives_masks=True)
    (event,) = (event for result in walked([(20, 40, 40, 60)] * 3) for event in watching(result).events)
    assert event.mask is not None
    assert event.mask["size"] == list(HW)


def test_zones_are_drawn_where_they_are() -> None:
    picture = np.zeros((*HW, 3), np.uint8)
    draw_areas(picture, [AreaState(LEFT_HALF, {"cat": ClassCounts(inside=2)})], TextPainter(11), 1)
    assert picture[50, 50].any()
    assert not picture[50, 150].any()
    assert caption(AreaState(LEFT_HALF, {"cat": ClassCounts(inside=2)})) == "left half: 2 cat"


def test_the_table_has_a_row_a_second_and_the_last_counts(tmp_path: Path) -> None:
    sink = AreaSink(AreaTable(tmp_path / "zones.csv"), name="door")
    for result in watched(walked(across(20, 180, 4)), LEFT_HALF, MIDDLE):
        sink.write(result)
    sink.close()
    head, *rows = (tmp_path / "zones.csv").read_text().splitlines()
    assert head.startswith("time,seconds,source,area,kind,class,inside,entered,left,mean_dwell_seconds,forward")
    assert rows[-2:] == [
        ",3.900,door,left half,zone,person,0,1,1,1.6,0,0",
        ",3.900,door,middle,line,person,0,0,0,0,1,0",
    ]
    assert len({row.split(",")[1] for row in rows}) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("zones: [{name: a, points: [[0, 0], [1, 1], [1, 0], [0, 1]]}]", "crosses itself"),
        (
            "zones: [{name: a, points: [[0, 0], [1.2, 0], [1, 1]]}]",
            "zones.0.points.1.0: Input should be less than or eq",
        ),
        ("zones: [{name: a, points: [[0, 0], [0.5, 0.5], [1, 1]]}]", "has no area"),
        ("zones: [{name: a, points: [[0, 0], [1, 1]]}]", "needs 3 corners or more, got 2"),
        ("lines: [{name: a, points: [[0, 0], [1, 1], [1, 0]]}]", "needs 2 points, got 3"),
        ("lines: [{name: a, points: [[0, 0], [0, 0]]}]", "its two points are the same"),
        ("lines: [{name: a}]", "give either points"),
        (
            "lines: [{name: a, points: [[0, 0], [1, 0]], colour: red}]",
            "unknown key lines.0.colour; known: name, points",
        ),
        ("lines: [{name: a, points: [[0, 0], [1, 0]]}, {name: a, points: [[0, 0], [1, 0]]}]", "are called 'a'"),
        ("{}", "holds neither zones nor lines"),
        ("zones: [", "is not YAML"),
    ],
)
def test_a_mistake_in_a_file_of_zones_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "zones.yaml"
    path.write_text(text)
    with pytest.raises(AreaError) as caught:
        read_areas(path)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pixels_outside_the_picture_are_refused_once_its_size_is_known(tmp_path: Path) -> None:
    path = tmp_path / "zones.yaml"
    path.write_text("zones: [{name: door, pixels: [[0, 0], [300, 0], [300, 50]]}]")
    areas = read_areas(path)
    check_areas(areas, (100, 300), "camera")
    with pytest.raises(AreaError, match=r"zone 'door' must lie in the picture of camera, which is 200x100 pixels"):
        check_areas(areas, HW, "camera")
