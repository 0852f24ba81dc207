"""Where a model with boxes is good, and from which score on: two tables over annotated pictures.

python -m benchmarks.nano_quality --model nano --images DIR --annotations nano-data/held_back.json
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask

from solov2 import SOLOv2, load_model
from solov2.data.coco_dataset import CocoDataset
from solov2.data.segmentations import mask_code
from solov2.decoding.geometry import normalisation
from solov2.decoding.mask_logits import inside_boxes, mask_logits
from solov2.training.batches import training_batches
from solov2.training.matching import InstanceTargets, flatten_cells, match
from solov2.training.train_config import PRESETS
from solov2.variants import MASK_STRIDE

SIDES_PX = (0, 20, 40, 80, 10_000)  # of the square root of an instance's area in the network's input
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
MIN_IOU = 0.5


@torch.inference_mode()
def mask_ious(model: SOLOv2, dataset: CocoDataset) -> Iterator[tuple[float, float, float]]:
    """Yield of each matched instance its side in px, the IoU of its best cell's mask, and that of its filled box."""
    config = replace(PRESETS["nano"], batch_size=1, canvases=None, mosaic=0.0, crowd_exponent=0.0, colour_jitter=False)
    mean, std = normalisation(model.device)
    labels = torch.tensor([model.class_names.index(name) for name in dataset.class_names])
    for batch in training_batches(dataset, model.variant, config, 0):
        outputs = model((batch.pixels.float() - mean) / std)
        assert outputs.boxes is not None
        (target,) = batch.targets
        assert isinstance(target, InstanceTargets)
        target = replace(target, labels=labels[target.labels])
        (found,) = match(outputs, [target])
        kernels, boxes = flatten_cells(outputs.kernels)[0], flatten_cells(outputs.boxes)[0]
        features = outputs.mask_features[0]
        for number in sorted(set(found.instances.tolist())):
            cells = (found.instances == number).nonzero()[:, 0]
            best = found.cells[cells[found.ious[cells].argmax()]][None]
            inside = inside_boxes(boxes[best], features.shape[1:])
            mask = (mask_logits(kernels[best], features, boxes[best]) > 0) & inside
            truth = target.masks[number] >= 0.5
            filled = inside_boxes(target.boxes[number][None], features.shape[1:], 0.0)
            side_px = MASK_STRIDE * float(target.masks[number].sum()) ** 0.5
            yield side_px, _iou(mask[0], truth), _iou(filled[0], truth)


def _iou(mask: torch.Tensor, other: torch.Tensor) -> float:
    return float((mask & other).sum() / (mask | other).sum().clamp(min=1))


def hits(model: SOLOv2, dataset: CocoDataset) -> Iterator[tuple[float, bool]]:
    """Yield of each predicted instance its score, and whether it is the first of an annotated one (IoU 0.5)."""
    for index, entry in enumerate(dataset.images):
        size = entry["height"], entry["width"]
        truth = [one for one in dataset.annotations if one["image_id"] == entry["id"] and not one.get("iscrowd")]
        codes = [mask_code(one["segmentation"], size) for one in truth]
        found = model.predict(dataset.picture(index))
        ious = np.reshape(coco_mask.iou(found.rle(), codes, [0] * len(codes)), (len(found), len(truth)))
        names = [dataset.class_names[dataset.category_ids.index(one["category_id"])] for one in truth]
        for label, score, row in zip(found.labels, found.scores, ious, strict=True):
            same = np.array([name == model.class_names[label] for name in names], bool)
            row = np.where(same, row, 0)
            is_hit = bool(len(row)) and row.max() >= MIN_IOU
            if is_hit:
                names[int(row.argmax())] = ""  # taken
            yield float(score), is_hit


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    options = parser.parse_args()
    model, dataset = (
        load_model(options.model, device="cpu", dtype="float32"),
        CocoDataset(options.images, options.annotations),
    )
    rows = np.array(list(mask_ious(model, dataset)))
    print("| instance's side | instances | mask IoU | filled box |\n|---|---|---|---|")
    for low, high in pairwise(SIDES_PX):
        part = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
        print(f"| {low} to {high} px | {len(part)} | {part[:, 1].mean():.2f} | {part[:, 2].mean():.2f} |")
    count = sum(not one.get("iscrowd") for one in dataset.annotations)
    scored = list(hits(model, dataset))
    print("\n| score from | precision | recall | F1 |\n|---|---|---|---|")
    for threshold in THRESHOLDS:
        kept = [is_hit for score, is_hit in scored if score >= threshold]
        right = sum(kept)
        figures = right / max(len(kept), 1), right / count, 2 * right / (len(kept) + count)
        print(f"| {threshold} | {figures[0]:.3f} | {figures[1]:.3f} | {figures[2]:.3f} |")


if __name__ == "__main__":
    main()
