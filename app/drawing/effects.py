"""Effects on pixels: instances blurred, pixelated or filled; the background blurred, replaced or taken away."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from app.drawing.palette import RGB
from app.stream.effect import Effect
from app.stream.frames import Picture, Result
from app.stream_errors import AppError
from solov2 import Instances
from solov2.errors import UnknownNameError

Plane = npt.NDArray[np.uint8]

MARGIN_FRACTION = 1 / 50  # of the picture's short side; what is hidden is hidden that far around, too
BLOCK_FRACTION = 1 / 20  # side of a block of "pixelate"
BLUR_FRACTION = 1 / 30  # standard deviation
SOFT_FRACTION = 1 / 360  # of the edge between an instance and its background
SHRINK = 4  # a blur is computed on a smaller picture
COVER: RGB = (38, 42, 52)  # of "fill"
KEY: RGB = (0, 177, 64)  # behind "cut-out": the green that other programs take away


class EffectError(AppError):
    """An effect that cannot be had; the message is one line."""


def apply_effects(picture: Picture, result: Result, effects: Sequence[Effect], class_names: Sequence[str]) -> None:
    """Apply `effects` to `picture` (H, W, 3) uint8 RGB, in place: first what changes backgrounds, then what hides.

    The whole picture is hidden if the frame was searched before somebody asked for an effect that hides.
    """
    for effect in sorted(effects, key=lambda one: one.hides):
        if effect.hides:
            _hide(picture, _cover_in(result, effect, class_names), effect)
        else:
            _change_background(picture, _mask_of(result.instances, effect, class_names), effect)


def check_effects(effects: Sequence[Effect], class_names: Sequence[str]) -> None:
    """Check that the model knows the classes of `effects`, and that their pictures can be read.

    Raises:
        UnknownNameError: it does not know one.
        EffectError: there is no such picture.
    """
    for effect in effects:
        for name in sorted(effect.classes or ()):
            if name not in class_names:
                raise UnknownNameError("class", name, class_names)
        if effect.picture is not None:
            load_background(effect.picture)


def _cover_in(result: Result, effect: Effect, class_names: Sequence[str]) -> Plane:
    """Return what an effect hides: (H, W) uint8, 0 or 255."""
    if result.hidden is None or not result.hidden.covers(effect.classes):
        return np.full(result.instances.image_hw, 255, np.uint8)
    return cover_of(_mask_of(result.hidden.instances, effect, class_names))


def cover_of(mask: Plane) -> Plane:
    """Return what is hidden for a mask: (H, W) uint8, 0 or 255. The mask is enlarged, and its holes are closed."""
    radius = max(2, round(min(mask.shape) * MARGIN_FRACTION))
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1))
    cover = cv2.dilate(mask, square)
    outlines, _ = cv2.findContours(cover, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(cover, outlines, -1, (255,), cv2.FILLED)
    return np.asarray(cover, np.uint8)


@lru_cache(maxsize=4)
def load_background(path: Path) -> Picture:
    """Return the picture of a file, (H, W, 3) uint8 RGB; raise EffectError where there is none."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise EffectError(f"the background must be a picture, got {path}: name a PNG or JPEG file")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _mask_of(instances: Instances, effect: Effect, class_names: Sequence[str]) -> Plane:
    """Return (H, W) uint8, 255 where an instance is that the effect is about."""
    plane = np.zeros(instances.image_hw, np.uint8)
    for label, crop in zip(instances.labels.tolist(), instances.crops, strict=True):
        if effect.classes is None or class_names[label] in effect.classes:
            np.copyto(crop.window(plane), np.uint8(255), where=crop.mask)
    return plane


def _hide(picture: Picture, cover: Plane, effect: Effect) -> None:
    """Hide what `cover` covers, working in the rectangle around it."""
    left, top, width, height = cv2.boundingRect(cover)
    if not width:
        return
    short_side = min(picture.shape[:2])
    view = picture[top : top + height, left : left + width]
    if effect.kind == "fill":
        hidden = np.full_like(view, COVER)
    elif effect.kind == "pixelate":
        block = max(4, round(short_side * BLOCK_FRACTION))
        size = max(1, width // block), max(1, height // block)
        small = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
        hidden = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    else:
        hidden = _blurred(view, short_side * BLUR_FRACTION)
    cv2.copyTo(hidden, cover[top : top + height, left : left + width], view)


def _change_background(picture: Picture, mask: Plane, effect: Effect) -> None:
    """Keep what `mask` covers, with a soft edge, and change the rest."""
    short_side = min(picture.shape[:2])
    if effect.kind == "background-blur":
        background = _blurred(picture, short_side * BLUR_FRACTION / 2)
    elif effect.kind == "background" and effect.picture is not None:
        background = _fitted(load_background(effect.picture), picture.shape[:2])
    else:
        background = np.full_like(picture, KEY)
    weights = cv2.GaussianBlur(mask, (0, 0), max(0.5, short_side * SOFT_FRACTION)).astype(np.float32) / 255
    picture[:] = cv2.blendLinear(picture, background, weights, 1 - weights)


def _blurred(picture: Picture, sigma: float) -> Picture:
    """Return a strongly blurred copy; it is computed on a smaller picture, where no more can be seen of it."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (-(-width // SHRINK), -(-height // SHRINK)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), max(1.0, sigma / SHRINK))
    return np.asarray(cv2.resize(blurred, (width, height)), np.uint8)


def _fitted(background: Picture, image_hw: tuple[int, ...]) -> Picture:
    """Return the middle of a picture, resized to fill (height, width)."""
    height, width = image_hw[:2]
    scale = max(height / background.shape[0], width / background.shape[1])
    size = max(width, round(background.shape[1] * scale)), max(height, round(background.shape[0] * scale))
    resized = cv2.resize(background, size, interpolation=cv2.INTER_AREA)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width], np.uint8)
