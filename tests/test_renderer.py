import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.drawing import renderer as renderer_module
from app.drawing.palette import instance_colour
from app.drawing.readout import readout_rectangle
from app.drawing.renderer import Renderer, paint_masks
from app.drawing.text import TextPainter
from app.stream.controls import Controls
from app.stream.stats import StatsSnapshot, StreamStats
from tests.fake_instances import rectangles, result_of

NOTHING = Controls(show_masks=False, show_boxes=False, show_labels=False, show_readout=False)
SNAPSHOT = StreamStats().snapshot()


def grey(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def changed(picture: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the picture differs from the image."""
    return np.asarray((picture != image).any(axis=2))


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(("person", "cat"))


def test_the_frame_is_never_written_into(renderer: Renderer) -> None:
    image = grey()
    image.flags.writeable = False
    result = result_of(image, rectangles((240, 320), [(40, 60, 200, 200)], [0]))
    picture = renderer.draw(result, Controls(show_boxes=True), SNAPSHOT)
    assert (image == 100).all()
    assert not np.shares_memory(picture, image)
    assert (picture.shape, picture.dtype.name) == (image.shape, "uint8")


def test_nothing_asked_for_draws_nothing(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 200, 200)], [0]))
    assert (renderer.draw(result, NOTHING, SNAPSHOT) == grey()).all()


def test_a_mask_is_blended_by_its_opacity(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 200, 200)], [0]))
    picture = renderer.draw(result, replace(NOTHING, show_masks=True, opacity=0.25))
    expected = 0.75 * 100 + 0.25 * np.array(instance_colour(0, 0))
    assert np.abs(picture[130, 120] - expected).max() <= 1.5


def test_a_mask_changes_nothing_beyond_its_outline(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 200, 200)], [0]))
    difference = changed(renderer.draw(result, replace(NOTHING, show_masks=True)), grey())
    difference[58:202, 38:202] = False
    assert not difference.any()


def test_the_outline_shows_the_full_colour_even_without_opacity(renderer: Renderer) -> None:
    result = result_of(grey(1080, 1080), rectangles((1080, 1080), [(100, 100, 900, 900)], [1]))
    picture = renderer.draw(result, replace(NOTHING, show_masks=True, opacity=0.0))
    assert np.abs(picture[100, 500].astype(int) - instance_colour(1, 0)).max() <= 1
    assert (picture[500, 500] == 100).all()


def test_a_tracked_instance_keeps_its_colour_and_says_its_id(renderer: Renderer) -> None:
    boxes = [(20, 60, 140, 200), (180, 60, 300, 200)]
    masks, tags = replace(NOTHING, show_masks=True), replace(NOTHING, show_labels=True)
    first = replace(result_of(grey(), rectangles((240, 320), boxes, [0, 0])), track_ids=(1, 2))
    swapped = replace(result_of(grey(), rectangles((240, 320), boxes[::-1], [0, 0])), track_ids=(2, 1))
    assert (renderer.draw(first, masks) == renderer.draw(swapped, masks)).all()
    other = replace(first, track_ids=(1, 8))
    before, after = renderer.draw(first, tags), renderer.draw(other, tags)
    assert (before[:, :160] == after[:, :160]).all()
    assert changed(before, after)[:, 160:].any()
    assert changed(before, renderer.draw(replace(first, track_ids=None), tags)).any()


def test_touching_instances_are_told_apart(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 120, 200), (120, 60, 200, 200)], [0, 0]))
    picture = renderer.draw(result, replace(NOTHING, show_masks=True))
    assert np.abs(picture[130, 80].astype(int) - picture[130, 160]).max() > 20


@pytest.mark.parametrize("line_px", [1, 2, 4])
def test_painting_in_strips_makes_no_seams(monkeypatch: pytest.MonkeyPatch, line_px: int) -> None:
    id_map = np.random.default_rng(0).integers(0, 3, (9, 7), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
    colours = [instance_colour(0, 0), instance_colour(1, 0)]
    whole, in_strips = grey(*id_map.shape), grey(*id_map.shape)
    paint_masks(whole, id_map, colours, 0.5, line_px)
    monkeypatch.setattr(renderer_module, "STRIP_PX", 300)
    paint_masks(in_strips, id_map, colours, 0.5, line_px)
    assert (whole == in_strips).all()


def test_a_box_covers_the_edge_pixels_of_its_instance(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 200, 180)], [1]))
    picture = renderer.draw(result, replace(NOTHING, show_boxes=True))
    for y, x in ((60, 40), (60, 199), (179, 40), (179, 199)):
        assert tuple(picture[y, x]) == instance_colour(1, 0)
    assert (picture[120, 120] == 100).all()


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (300, 0, 320, 20), (300, 220, 320, 240), (0, 220, 20, 240)])
def test_a_tag_in_a_corner_stays_whole(renderer: Renderer, box: tuple[int, int, int, int]) -> None:
    in_corner = result_of(grey(), rectangles((240, 320), [box], [0]))
    in_middle = result_of(grey(), rectangles((240, 320), [(150, 110, 170, 130)], [0]))
    labels_only = replace(NOTHING, show_labels=True)
    areas = [changed(renderer.draw(result, labels_only), grey()).sum() for result in (in_corner, in_middle)]
    assert areas[0] == areas[1] > 0


def test_tags_of_instances_in_one_place_do_not_hide_each_other(renderer: Renderer) -> None:
    labels_only = replace(NOTHING, show_labels=True)
    one = changed(
        renderer.draw(result_of(grey(), rectangles((240, 320), [(100, 80, 200, 200)], [0])), labels_only), grey()
    )
    four = changed(
        renderer.draw(result_of(grey(), rectangles((240, 320), [(100, 80, 200, 200)] * 4, [0] * 4)), labels_only),
        grey(),
    )
    assert four.sum() > 3.8 * one.sum()


def test_no_tag_lies_under_the_readout(renderer: Renderer) -> None:
    boxes = [(0, 0, 60, 60), (10, 10, 80, 70)]
    result = result_of(grey(480, 640), rectangles((480, 640), boxes, [0, 1]))
    controls = replace(NOTHING, show_labels=True)
    with_readout = renderer.draw(result, replace(controls, show_readout=True), SNAPSHOT)
    readout_alone = renderer.draw(result_of(grey(480, 640)), replace(controls, show_readout=True), SNAPSHOT)
    x1, y1, x2, y2 = readout_rectangle(TextPainter(11), SNAPSHOT)
    assert (with_readout[y1:y2, x1:x2] == readout_alone[y1:y2, x1:x2]).all()
    assert changed(with_readout, readout_alone).any()


def test_the_readout_is_drawn_only_with_numbers_to_show(renderer: Renderer) -> None:
    result = result_of(grey())
    assert (renderer.draw(result, Controls(), None) == grey()).all()
    assert changed(renderer.draw(result, Controls(), SNAPSHOT), grey()).any()


@pytest.mark.parametrize(
    "field", ["capture_fps", "inference_fps", "display_fps", "age_ms", "run_age_p50_ms", "run_age_p95_ms"]
)
def test_the_readout_shows_each_number(renderer: Renderer, field: str) -> None:
    busy: StatsSnapshot = replace(SNAPSHOT, **{field: 29.5})  # type: ignore[arg-type]
    idle_picture, busy_picture = (renderer.draw(result_of(grey()), Controls(), each) for each in (SNAPSHOT, busy))
    assert changed(busy_picture, idle_picture).any()


@pytest.mark.parametrize(
    "lost", [{"dropped": {"stale": 3}}, {"dropped": {"sink": 3}}, {"reconnects": 2}, {"stalls": 1}], ids=str
)
def test_the_readout_grows_by_a_line_for_what_was_lost(renderer: Renderer, lost: dict[str, Any]) -> None:
    lossy = replace(SNAPSHOT, dropped={}, reconnects=0, stalls=0)
    before, after = (readout_rectangle(TextPainter(11), one) for one in (lossy, replace(lossy, **lost)))
    assert after[3] > before[3]
    x1, _, x2, _ = after
    picture = renderer.draw(result_of(grey(480, 640)), Controls(), replace(lossy, **lost))
    assert np.ptp(picture[before[3] : after[3], x1:x2]) > 50, "there are letters"


def test_letters_and_lines_grow_with_the_picture(renderer: Renderer) -> None:
    def tag_height(scale: int) -> int:
        box = (100 * scale, 100 * scale, 200 * scale, 200 * scale)
        result = result_of(grey(540 * scale, 960 * scale), rectangles((540 * scale, 960 * scale), [box], [0]))
        rows = changed(renderer.draw(result, replace(NOTHING, show_labels=True)), result.frame.image).any(axis=1)
        return int(rows.sum())

    assert tag_height(4) == pytest.approx(4 * tag_height(1), rel=0.1)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 500), (500, 1), (2, 3), (17, 90)])
def test_tiny_pictures_can_be_drawn(renderer: Renderer, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    result = result_of(grey(*size_hw), rectangles(size_hw, [(0, 0, width, height)], [0]))
    assert renderer.draw(result, Controls(show_boxes=True), SNAPSHOT).shape == (height, width, 3)


def test_a_huge_picture_can_be_drawn(renderer: Renderer) -> None:
    result = result_of(grey(8000, 8000), rectangles((8000, 8000), [(0, 0, 8000, 8000)], [0]))
    picture = renderer.draw(result, Controls(), SNAPSHOT)
    assert changed(picture[4000:4001], result.frame.image[4000:4001]).all()


def test_more_instances_than_the_id_map_can_hold_are_drawn(renderer: Renderer) -> None:
    boxes = [(x, y, x + 8, y + 8) for y in range(0, 200, 10) for x in range(0, 300, 20)]
    result = result_of(grey(), rectangles((240, 320), boxes, [0] * len(boxes)))
    assert len(boxes) > 255
    assert changed(renderer.draw(result, Controls(show_boxes=True)), grey()).any()


def test_two_threads_may_draw_at_the_same_time(renderer: Renderer) -> None:
    result = result_of(grey(), rectangles((240, 320), [(40, 60, 200, 200), (150, 90, 300, 220)], [0, 1]))
    alone = renderer.draw(result, Controls(), SNAPSHOT)
    same: list[bool] = []

    def draw_often() -> None:
        same.extend((renderer.draw(result, Controls(), SNAPSHOT) == alone).all() for _ in range(50))

    threads = [threading.Thread(target=draw_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 100
