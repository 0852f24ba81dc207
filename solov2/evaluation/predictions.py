"""Predictions in COCO's results format, from a file that anyone may have written."""

import math
import sys
from pathlib import Path
from typing import Any

from solov2.data.coco_dataset import CocoDataset
from solov2.data.coco_file import read_json
from solov2.data.segmentations import mask_code, segmentation_flaw
from solov2.errors import DatasetError
from solov2.pixels import Size


def read_predictions(path: Path, dataset: CocoDataset) -> list[dict[str, Any]]:
    """Read predictions in COCO's results format; all of them have masks, or all of them boxes.

    Polygons and uncompressed run-length codes become compressed ones. How many are of categories that the dataset lacks
    is said on standard error; they are measured nowhere.

    Raises:
        DatasetError: the file cannot be read, is of another format, or is of other pictures.
    """
    results = read_json(path)
    if not isinstance(results, list):
        raise DatasetError(f"{path} must hold a list of predictions, got {type(results).__name__}")
    sizes: dict[Any, Size] = {image["id"]: (image["height"], image["width"]) for image in dataset.images}
    has_boxes = bool(results) and isinstance(results[0], dict) and "segmentation" not in results[0]
    shape = "bbox" if has_boxes and "bbox" in results[0] else "segmentation"
    checked = [_checked(result, f"{path}: prediction {number}", shape, sizes) for number, result in enumerate(results)]
    strange = [result["category_id"] for result in checked if not dataset.has_category(result["category_id"])]
    if strange:
        print(
            f"left out: {len(strange)} predictions of categories that {dataset.annotations_file} lacks, such as "
            f"category_id {strange[0]}",
            file=sys.stderr,
        )
    return checked


def _checked(result: Any, what: str, shape: str, sizes: dict[Any, Size]) -> dict[str, Any]:
    """Return one prediction as pycocotools takes it.

    Raises:
        DatasetError: begins with `what`.
    """
    if not isinstance(result, dict):
        raise DatasetError(f"{what} must be an object, got {str(result)[:60]}")
    lacking = [key for key in ("image_id", "category_id", "score", shape) if key not in result]
    if lacking:
        raise DatasetError(f"{what} has no {', '.join(lacking)}")
    if result["image_id"] not in sizes:
        raise DatasetError(f"{what} is of image {result['image_id']}, which the annotations lack")
    if not _is_number(result["score"]):
        raise DatasetError(f"{what} must have a number as its score, got {result['score']!r}")
    box = result.get("bbox", (0, 0, 0, 0))
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_number, box)):
        raise DatasetError(f"{what} must have [left, top, width, height] as its bbox, got {str(box)[:60]}")
    if "segmentation" not in result:
        return result
    return {**result, "segmentation": _code(result["segmentation"], sizes[result["image_id"]], what)}


def _code(segmentation: Any, size: Size, what: str) -> dict[str, Any]:
    flaw = segmentation_flaw(segmentation, size)
    if flaw:
        raise DatasetError(f"{what} {flaw}")
    code = mask_code(segmentation, size)
    counts = code["counts"]
    return {"size": list(size), "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
