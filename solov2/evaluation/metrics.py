"""COCO's twelve figures of predictions, computed by pycocotools."""

import contextlib
import io
import math
from typing import Any

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solov2.data.coco_dataset import CocoDataset
from solov2.data.segmentations import mask_code

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_metrics(dataset: CocoDataset, results: list[dict[str, Any]], kind: str = "segm") -> dict[str, Any]:
    """Return the twelve COCO figures of predictions in COCO's results format, and those of each class.

    A prediction belongs to the small, medium or large ones by the area of its mask where masks are measured, and by
    that of its box where boxes are. (pycocotools takes the box's area for both when a prediction has both.)

    Args:
        dataset: the ground truth; only its `class_names` are measured.
        results: each with "image_id", "category_id", "score" and a "segmentation", a "bbox" or both. The box of a
            mask is the smallest around it; the mask of a box is all of it.
        kind: "segm" for masks, "bbox" for boxes.

    Returns:
        `METRICS` in [0, 1] (-1 where there is no ground truth), and "classes": name -> `METRICS`.

    Raises:
        DatasetError: a mask of the ground truth is broken.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _ground_truth(dataset, kind)
        evaluation = COCOeval(truth, _detections(truth, results, kind), kind)
        evaluation.params.catIds = sorted(dataset.category_ids)
        evaluation.params.imgIds = [image["id"] for image in dataset.images]
        evaluation.evaluate()
        evaluation.accumulate()
        figures = _summary(evaluation)
        precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]  # axis -3 counts the classes
        classes = {}
        for name, category_id in zip(dataset.class_names, dataset.category_ids, strict=True):
            k = evaluation.params.catIds.index(category_id)
            evaluation.eval |= {"precision": precision[..., k : k + 1, :, :], "recall": recall[..., k : k + 1, :, :]}
            classes[name] = _summary(evaluation)
    return {**figures, "classes": classes}


def _summary(evaluation: COCOeval) -> dict[str, float]:
    evaluation.summarize()
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


def _ground_truth(dataset: CocoDataset, kind: str) -> COCO:
    sizes = {image["id"]: (image["height"], image["width"]) for image in dataset.images}
    truth = COCO()
    truth.dataset = {
        "images": dataset.images,
        "categories": [{"id": category_id} for category_id in dataset.category_ids],
        "annotations": [
            _complete(annotation, number, sizes[annotation["image_id"]], kind)
            for number, annotation in enumerate(dataset.annotations, 1)
        ],
    }
    truth.createIndex()
    return truth


def _complete(annotation: dict[str, Any], number: int, size: tuple[int, int], kind: str) -> dict[str, Any]:
    """Return a copy with all that pycocotools reads, which own annotations often lack."""
    # Not the file's own id: 0 means "no match" to pycocotools, and ids may be there twice.
    complete = {key: value for key, value in annotation.items() if key != "ignore"}
    complete |= {"iscrowd": int(bool(annotation.get("iscrowd"))), "id": number}
    has_figures = _are_figures(annotation.get("area"), annotation.get("bbox"))
    if has_figures and kind == "bbox":
        return complete
    complete["segmentation"] = code = mask_code(annotation["segmentation"], size)
    if not has_figures:
        complete |= {"area": float(coco_mask.area(code)), "bbox": coco_mask.toBbox(code).tolist()}
    return complete


def _are_figures(area: object, box: object) -> bool:
    """Whether a file says the area and the box in numbers."""
    numbers = [area, *box] if isinstance(box, list) and len(box) == 4 else [None]
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def _detections(truth: COCO, results: list[dict[str, Any]], kind: str) -> COCO:
    """Return `results` indexed by pycocotools, which changes the entries that it is given."""
    if not results:  # which loadRes cannot read
        detections = COCO()
        detections.dataset = {**truth.dataset, "annotations": []}
        detections.createIndex()
        return detections
    form = _mask_only if kind == "segm" else _box_only
    return truth.loadRes([form(result) for result in results])


def _mask_only(result: dict[str, Any]) -> dict[str, Any]:
    unwanted = "bbox" if "segmentation" in result else None
    return {key: value for key, value in result.items() if key != unwanted}


def _box_only(result: dict[str, Any]) -> dict[str, Any]:
    box = result["bbox"] if "bbox" in result else coco_mask.toBbox(result["segmentation"]).tolist()
    return {key: value for key, value in result.items() if key != "segmentation"} | {"bbox": box}
