"""Run a model on COCO-format data and print its figures: what `solov2.evaluate` does once its options are read."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from solov2.data.coco_dataset import CocoDataset
from solov2.errors import DatasetError, few_of
from solov2.evaluation.metrics import METRICS, coco_metrics
from solov2.evaluation.predictions import read_predictions
from solov2.files import writing
from solov2.instances import Instances
from solov2.ordered_map import ordered_map
from solov2.pixels import Image
from solov2.predictor import Predictor
from solov2.runtime.device import find_device
from solov2.runtime.open_predictor import load_runnable, open_predictor

_READERS = 2  # threads that read pictures ahead
_ENCODERS = 4  # threads that encode masks, where the network runs elsewhere


def predictions(
    predictor: Predictor,
    dataset: CocoDataset,
    batch_size: int = 1,
    show_progress: bool = True,
    *,
    encoders: int = 1,
) -> list[dict[str, Any]]:
    """Return what a predictor finds in every picture, in COCO's results format.

    Pictures are read, and masks encoded, beside the network.

    Args:
        predictor: its classes are matched with the dataset's categories by name; others are left out.
        dataset: the pictures.
        batch_size: pictures that it is given at once; the results are the same.
        show_progress: a progress bar on standard error.
        encoders: threads that encode masks; see `encoders_beside`.
    """
    category_of = {
        predictor.class_names.index(name): category_id
        for name, category_id in zip(dataset.class_names, dataset.category_ids, strict=True)
        if name in predictor.class_names
    }

    def read(indices: range) -> list[Image]:
        return [dataset.picture(index) for index in indices]

    def encode(found: tuple[int, Instances]) -> list[dict[str, Any]]:
        index, instances = found
        return _as_results(instances, dataset.images[index]["id"], category_of)

    count = len(dataset)
    batches = [range(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
    results: list[dict[str, Any]] = []
    pictures = ordered_map(read, batches, _READERS)
    found = enumerate(instances for images in pictures for instances in predictor.predict_batch(images))
    encoded = ordered_map(encode, found, encoders)
    for part in tqdm(encoded, "evaluate", count, unit="img", disable=not show_progress):
        results.extend(part)
    return results


def encoders_beside(device: torch.device) -> int:
    """Return how many threads encode masks: one on the CPU, as the network's own threads take all cores."""
    return 1 if device.type == "cpu" else _ENCODERS


def _as_results(instances: Instances, image_id: int, category_of: dict[int, int]) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "category_id": category_of[label], "segmentation": code, "score": score}
        for code, label, score in zip(
            instances.rle(), instances.labels.tolist(), instances.scores.tolist(), strict=True
        )
        if label in category_of
    ]


def shared_classes(model_classes: Sequence[str], dataset: CocoDataset) -> list[str]:
    """Return the dataset's categories that the model knows, and say on standard error what is left out.

    Raises:
        DatasetError: they have no name in common.
    """
    shared = [name for name in dataset.class_names if name in model_classes]
    if not shared:
        raise DatasetError(
            f"the model and {dataset.annotations_file} have no class name in common: the model knows "
            f"{few_of(model_classes)}, the file {few_of(dataset.class_names)}"
        )
    sides = {
        "categories that the model does not know": [name for name in dataset.class_names if name not in shared],
        "classes of the model that the file lacks": [name for name in model_classes if name not in shared],
    }
    for what, names in sides.items():
        if names:
            print(f"left out: {len(names)} {what}: {few_of(names)}", file=sys.stderr)
    return shared


def table(metrics: dict[str, dict[str, Any]]) -> str:
    """Return the figures in percent, one row for masks, boxes, and the masks of each class."""
    classes: dict[str, dict[str, float]] = metrics["masks"]["classes"]
    rows = {"all masks": metrics["masks"], "all boxes": metrics["boxes"], **classes}
    width = max(map(len, rows)) + 1
    lines = [" " * width + "".join(f"{name:>7}" for name in METRICS)]
    for title, figures in rows.items():
        values = ("-" if figures[name] < 0 else f"{100 * figures[name]:.1f}" for name in METRICS)
        lines.append(f"{title:<{width}}" + "".join(f"{value:>7}" for value in values))
    return "\n".join(lines)


def run_evaluation(options: argparse.Namespace) -> int:
    """Do what the checked options of `solov2.evaluate` say; return the exit code."""
    dataset = CocoDataset(options.images or options.annotations.parent, options.annotations)
    if options.classes:
        dataset = dataset.with_classes(options.classes.split(","))
    if dataset.box_count:
        print(f"{dataset.box_count} instances have a box and no mask: only the row of boxes tells", file=sys.stderr)
    if options.from_predictions:
        results = read_predictions(options.from_predictions, dataset)
    else:
        device = find_device(options.device)
        model = load_runnable(options.model, device, options.dtype, options.input_size)
        dataset = dataset.with_classes(shared_classes(model.class_names, dataset))
        predictor = open_predictor(model, options.engine, "latency", options.batch)
        results = predictions(predictor, dataset, options.batch, encoders=encoders_beside(device))
    if options.predictions:
        _write(options.predictions, results)
    metrics = {"masks": coco_metrics(dataset, results), "boxes": coco_metrics(dataset, results, "bbox")}
    print(table(metrics))
    if options.out:
        _write(options.out, metrics)
    return 0


def _write(path: Path, value: Any) -> None:
    with writing(path):
        path.write_text(json.dumps(value))
