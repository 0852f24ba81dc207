"""What a result looks like: masks with outlines, boxes, name tags and the read-out, on a copy of the frame."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from app.drawing.area_overlay import draw_areas
from app.drawing.effects import apply_effects
from app.drawing.palette import RGB, instance_colours
from app.drawing.readout import draw_readout, readout_rectangle
from app.drawing.tags import Tag, draw_tags, mask_tops
from app.drawing.text import TextPainter
from app.stream.controls import Controls
from app.stream.frames import Picture, Result
from app.stream.stats import StatsSnapshot
from solov2.masks.mask_form import MAX_IDS

TEXT_FRACTION = 1 / 48  # of the picture's short side
MIN_TEXT_PX = 11
LINE_FRACTION = 1 / 540
STRIP_PX = 64 * 1024  # masks are painted strip by strip, so that what is worked on stays in the cache
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


class Renderer:
    """Draws results; sizes follow the picture's, so that 320x240 and 4K look alike."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """Draw instances whose label is an index into `class_names`."""
        self.class_names = tuple(class_names)

    def draw(self, result: Result, controls: Controls, snapshot: StatsSnapshot | None = None) -> Picture:
        """Draw what `controls` ask for.

        Args:
            result: a frame and its instances, best first.
            controls: what is shown, and how opaque the masks are.
            snapshot: the numbers of the read-out; None leaves it out.

        Returns:
            (H, W, 3) uint8 RGB, a new array; the frame's own picture is not touched.
        """
        shown = snapshot if controls.show_readout else None
        picture = self.draw_plain(result, controls, shown)
        if shown is not None:
            draw_readout(picture, shown, _lettering(picture))
        return picture

    def add_readout(self, picture: Picture, controls: Controls, snapshot: StatsSnapshot) -> Picture:
        """Return a copy of a drawn `picture` with the read-out; `picture` itself where `controls` do not show it."""
        if not controls.show_readout:
            return picture
        copy = picture.copy()
        draw_readout(copy, snapshot, _lettering(copy))
        return copy

    def draw_plain(self, result: Result, controls: Controls, readout: StatsSnapshot | None) -> Picture:
        """Draw all but the read-out.

        Args:
            result: a frame and its instances, best first.
            controls: what is shown, and how opaque the masks are.
            readout: no tag is put where the read-out of these numbers would be; None keeps no place free.

        Returns:
            (H, W, 3) uint8 RGB, a new array; the frame's own picture is not touched.
        """
        picture = result.frame.image.copy()
        apply_effects(picture, result, controls.effects, self.class_names)
        instances = result.instances
        lettering = _lettering(picture)
        line_px = max(1, round(min(picture.shape[:2]) * LINE_FRACTION))
        colours = instance_colours(instances.labels, result.shades if result.track_ids is None else result.track_ids)
        if controls.show_masks:
            paint_masks(picture, instances.id_map, colours, controls.opacity, line_px)
        if controls.show_boxes:
            _draw_boxes(picture, instances.boxes, colours, 2 * line_px)
        draw_areas(picture, result.areas, lettering, line_px)
        if controls.show_labels:
            keep_free = (0, 0, 0, 0) if readout is None else readout_rectangle(lettering, readout)
            draw_tags(picture, self._tags(result, colours), lettering, keep_free)
        return picture

    def _tags(self, result: Result, colours: list[RGB]) -> list[Tag]:
        instances = result.instances
        names = [self.class_names[label] for label in instances.labels.tolist()]
        if result.track_ids is not None:
            names = [f"{name} #{track_id}" for name, track_id in zip(names, result.track_ids, strict=True)]
        tops = mask_tops(instances.id_map, instances.boxes)
        return [Tag(*parts) for parts in zip(names, instances.scores.tolist(), colours, tops, strict=True)]


def _lettering(picture: Picture) -> TextPainter:
    return TextPainter(max(MIN_TEXT_PX, round(min(picture.shape[:2]) * TEXT_FRACTION)))


def paint_masks(
    picture: Picture, id_map: npt.NDArray[np.uint8], colours: Sequence[RGB], opacity: float, line_px: int
) -> None:
    """Blend masks and their outlines into `picture`, in a time that hardly depends on how many there are.

    A pixel with different ids within `line_px` of it belongs to an outline, and takes the colour of the highest one.
    One byte per pixel says how much of its colour shows: all on an outline, `opacity` within a mask; a slight blur of
    these bytes smooths the steps of the outlines. Works in the rectangle that holds all masks, strip by strip.

    Args:
        picture: (H, W, 3) uint8 RGB, changed in place.
        id_map: (H, W) uint8, 0 = nothing, k = the instance that `colours[k - 1]` belongs to.
        colours: of the instances; those beyond the first 255 have no id.
        opacity: of the masks, in [0, 1].
        line_px: half the width of an outline.
    """
    left, top, width, height = cv2.boundingRect(id_map)
    if not width:
        return
    margin = line_px + 1  # of an outline and its blur
    columns = slice(max(left - margin, 0), left + width + margin)
    table = np.zeros((256, 1, 3), np.uint8)
    table[1 : len(colours) + 1, 0] = colours[:MAX_IDS]
    rows = max(1, STRIP_PX // width)
    for start in range(max(top - margin, 0), min(top + height + margin, len(picture)), rows):
        above = min(start, margin)  # rows of context, as there are below
        ids, alpha = _outline(id_map[start - above : start + rows + margin, columns], opacity, line_px)
        strip = slice(above, above + rows)
        _blend(picture[start : start + rows, columns], cv2.applyColorMap(ids[strip], table), alpha[strip])


def _outline(ids: MatLike, opacity: float, line_px: int) -> tuple[MatLike, MatLike]:
    """Return the id whose colour each pixel takes, and how much of it shows, 0 to 255."""
    highest, lowest = (_spread(operation, ids, line_px) for operation in (cv2.dilate, cv2.erode))
    outline = cv2.compare(highest, lowest, cv2.CMP_NE)  # 0 or 255
    _, inside = cv2.threshold(ids, 0, round(255 * opacity), cv2.THRESH_BINARY)
    alpha = cv2.blur(cv2.max(inside, outline), (3, 3))
    return cv2.dilate(highest, SQUARE), alpha  # a colour for as far as the blur reaches


def _spread(operation: Callable[..., MatLike], ids: MatLike, radius: int) -> MatLike:
    """Dilate or erode by an octagon, which is nearly a disc and much faster."""
    return operation(operation(ids, CROSS, iterations=(radius + 1) // 2), SQUARE, iterations=radius // 2)


def _blend(view: Picture, colours: MatLike, alpha: MatLike) -> None:
    """Move each pixel of `view` towards its colour by its alpha out of 255."""
    weights = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    painted = cv2.multiply(colours, weights, scale=1 / 255)
    kept = cv2.multiply(view, cv2.bitwise_not(weights), scale=1 / 255)
    cv2.add(painted, kept, dst=view)


def _draw_boxes(picture: Picture, boxes: npt.NDArray[np.float32], colours: Sequence[RGB], thickness: int) -> None:
    corners = np.rint(boxes).astype(int).tolist()
    for (x1, y1, x2, y2), colour in reversed(list(zip(corners, colours, strict=True))):
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, thickness)
