"""One picture of a visitor: checked, segmented, and answered as data that the browser draws itself.

Nothing of it is kept: the picture stays in the browser and in memory, and never touches the disk.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.drawing.palette import instance_colours
from app.page.model_cache import Models
from app.sources.pictures import decode_picture
from solov2.pixel_limit import TooManyPixelsError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


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
        image = decode_picture(np.frombuffer(data, np.uint8), "The picture", FORMATS)
    except TooManyPixelsError as error:
        raise UnreadablePictureError(str(error)) from None
    if image is None:
        raise UnreadablePictureError(
            f"This is not a picture that can be read, or it is damaged. Known formats: {', '.join(FORMATS)}."
        )
    return image
