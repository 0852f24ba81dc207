"""One picture of a visitor: checked, segmented, and answered as data that the browser draws itself.

Nothing of it is kept: the picture stays in the browser and in memory, and never touches the disk.
"""

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from app.drawing.palette import instance_colours
from app.page.model_cache import Models

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000


class UnreadablePictureError(Exception):
    """What a visitor sent cannot be used as a picture; the message is a sentence for them."""


def segment_picture(models: Models, model_name: str, device: str, data: bytes) -> dict[str, Any]:
    """Return what is in an encoded picture.

    Returns:
        `width`, `height` in px and `instances`, best first: each with `name`, `score`, `area` in px, `box` (xyxy),
        `colour` (RGB) and `mask`, COCO's compressed run-length code.

    Raises:
        UnreadablePictureError: it is no picture, or too large.
        SOLOv2Error: the model cannot be had.
    """
    image = read_upload(data)
    model = models.get(model_name, device)
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
    return {
        "width": width,
        "height": height,
        "instances": [one | {"colour": list(colour)} for one, colour in zip(instances, colours, strict=True)],
    }


def read_upload(data: bytes) -> npt.NDArray[np.uint8]:
    """Return an encoded picture as (H, W, 3) uint8 RGB, upright; its size is checked before it is decoded.

    Raises:
        UnreadablePictureError: it is no picture of a known format, is damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
    except Image.DecompressionBombError:
        raise UnreadablePictureError(
            f"The picture is too large; up to {MAX_PIXELS // 1_000_000} million pixels are taken."
        ) from None
    except (UnidentifiedImageError, OSError, ValueError):
        raise UnreadablePictureError(f"This is not a picture. Known formats: {', '.join(FORMATS)}.") from None
    if width * height > MAX_PIXELS:
        raise UnreadablePictureError(
            f"The picture has {width}x{height} pixels; up to {MAX_PIXELS // 1_000_000} million are taken."
        )
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise UnreadablePictureError("The picture is damaged, or of a kind that cannot be read here.")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
