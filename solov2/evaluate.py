"""COCO mask AP of a model on COCO-format data, computed by pycocotools."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from solov2.coco import CocoDataset
from solov2.model import SOLOv2
from solov2.structures import Instances

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def predictions(model: SOLOv2, dataset: CocoDataset, show_progress: bool = True) -> list[dict[str, Any]]:
    """Return the model's instances on every picture, in COCO's results format.

    Args:
        model: its classes are matched with the dataset's categories by name; others are left out.
        dataset: the pictures.
        show_progress: a progress bar on standard error.
    """
    category_of = {
        model.class_names.index(name): category_id
        for name, category_id in zip(dataset.class_names, dataset.category_ids, strict=True)
        if name in model.class_names
    }
    results: list[dict[str, Any]] = []
    for index in tqdm(range(len(dataset)), desc="evaluate", unit="img", disable=not show_progress):
        instances = model.predict(dataset.picture(index))
        results.extend(_as_results(instances, dataset.images[index]["id"], category_of.get))
    return results


def _as_results(instances: Instances, image_id: int, category_of: Callable[[int], int | None]) -> list[dict[str, Any]]:
    known = np.array([category_of(int(label)) is not None for label in instances.labels], np.bool_)
    instances = instances.select(known)
    return [
        {
            "image_id": image_id,
            "category_id": category_of(int(label)),
            "segmentation": code,
            "score": float(score),
            "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
        }
        for code, label, score, (left, top, right, bottom) in zip(
            instances.rle(), instances.labels, instances.scores, instances.boxes, strict=True
        )
    ]


def coco_metrics(dataset: CocoDataset, results: list[dict[str, Any]], kind: str = "segm") -> dict[str, Any]:
    """Return the twelve COCO figures, and AP and AP50 of each class, of predictions in COCO's results format.

    Args:
        dataset: the ground truth.
        results: as `predictions` returns them.
        kind: "segm" for masks, "bbox" for boxes.

    Returns:
        `METRICS` in [0, 1] (-1 where there is no ground truth), and "classes": name -> {"AP", "AP50"}.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset.annotations_file))
        if not results:
            return {
                **dict.fromkeys(METRICS, 0.0),
                "classes": {name: {"AP": 0.0, "AP50": 0.0} for name in dataset.class_names},
            }
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.catIds = list(dataset.category_ids)
        evaluation.params.imgIds = [image["id"] for image in dataset.images]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]  # (IoU thresholds, recalls, classes, areas, max detections)
    classes = {
        name: {"AP": _mean(precision[:, :, k, 0, -1]), "AP50": _mean(precision[0, :, k, 0, -1])}
        for k, name in enumerate(dataset.class_names)
    }
    return {**dict(zip(METRICS, map(float, evaluation.stats), strict=True)), "classes": classes}


def _mean(precision: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else -1.0
