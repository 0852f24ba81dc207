"""One picture of a visitor: checked, segmented, and answered as data that the browser draws itself.

Nothing of it is kept: the picture stays in the browser and in memory, and never touches the disk.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from app.drawing.effects import apply_effects, check_effects
from app.drawing.palette import instance_colours
from app.page.model_cache import Models
from app.sources.pictures import decode_picture
from app.stream.effect import HIDE_SCORE, Effect
from app.stream.frames import Frame, Hidden, Picture, Result
from solov2 import Instances
from solov2.pixel_limit import TooManyPixelsError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


class UnreadablePictureError(Exception):
    """What a visitor sent cannot be used as a picture; the message is a sentence for them."""


@dataclass(frozen=True, slots=True)
class PictureWish:
    """How a visitor wants a picture to be seen.

    Attributes:
        model: name of the model.
        device: where it runs.
        effects: what is done to the picture.
        score: least score of what effects keep.
    """

    model: str
    device: str = "auto"
    effects: tuple[Effect, ...] = ()
    score: float = 0.0


def segment_picture(models: Models, wish: PictureWish, data: bytes) -> dict[str, Any]:
    """Return what is in an encoded picture.

    Returns:
        `width`, `height` in px and `instances`, best first: each with `name`, `score`, `area` in px, `box` (xyxy),
        `colour` (RGB) and `mask`, COCO's compressed run-length code; and `classes`, the names that the model knows.
        With effects `picture`, too: the changed picture as the address of a PNG file.

    Raises:
        UnreadablePictureError: it is no picture, or too large.
        SOLOv2Error: the model cannot be had, or does not know a class of an effect.
    """
    image = read_upload(data)
    model = models.get(wish.model, wish.device)
    check_effects(wish.effects, model.class_names)
    found = model.predict(image)
    found = found.select(found.areas > 0)
    height, width = image.shape[:2]
    rows = zip(found.labels, found.scores, found.areas, found.boxes, found.rle(), strict=True)
    instances = [
        {
            "name": model.class_names[label],
            "score": round(float(score), 4),
            "area": int(area),
            "box": [int(side) for side in box],
            "mask": code["counts"],
        }
        for label, score, area, box, code in rows
    ]
    colours = instance_colours(found.labels)
    changed = {"picture": _png_address(_changed(image, found, wish, model.class_names))} if wish.effects else {}
    return changed | {
        "width": width,
        "height": height,
        "classes": list(model.class_names),
        "instances": [one | {"colour": list(colour)} for one, colour in zip(instances, colours, strict=True)],
    }


def _changed(image: Picture, found: Instances, wish: PictureWish, class_names: Sequence[str]) -> Picture:
    """Return a copy of a picture with effects; hidden is what was found with a score of `HIDE_SCORE` or more."""
    hidden = Hidden(found.select(found.scores >= HIDE_SCORE), None)
    kept = found.select(found.scores >= wish.score)
    picture = image.copy()
    result = Result(Frame(image, 0, Fraction(1), 0.0, "picture", 0), kept, hidden=hidden)
    apply_effects(picture, result, wish.effects, class_names)
    return picture


def _png_address(picture: Picture) -> str:
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def read_upload(data: bytes) -> npt.NDArray[np.uint8]:
    """Return an encoded picture as (H, W, 3) uint8 RGB, upright; its size is checked before it is decoded.

    Raises:
        UnreadablePictureError: it is no picture of a known format, is damaged, or too large.
    """
    try:
        image = decode_picture(np.frombuffer(data, np.uint8), "The picture", FORMATS)
    except TooManyPixelsError as error:
        raise UnreadablePictureError(str(error)) from None
    if image is None:
        raise UnreadablePictureError(
            f"This is not a picture that can be read, or it is damaged. Known formats: {', '.join(FORMATS)}."
        )
    return image
