"""Which share of the pixels of people stays visible with `--effect fill:person`, as a Markdown table.

    python -m benchmarks.privacy ANNOTATIONS.json PICTURES --count 80

Each annotated picture stands for a first frame: nothing is held from frames before it. Annotations are COCO's; those of
crowds are left out.
"""

import argparse
import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from app.drawing.effects import cover_of
from app.stream.effect import HIDE_SCORE
from app.stream.frames import Picture
from solov2 import Instances, load_model
from solov2.runtime.torch_predictor import TorchPredictor

SHOWN_SCORE = 0.3


def annotated(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the pixels of people, (H, W) bool, of each picture with any."""
    values = json.loads(path.read_text())
    people = {one["id"] for one in values["categories"] if one["name"] == "person"}
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in values["annotations"]:
        if one["category_id"] in people and not one.get("iscrowd"):
            of_image[one["image_id"]].append(one)
    for image in values["images"]:
        size = image["height"], image["width"]
        if of_image[image["id"]]:
            yield (
                image["file_name"],
                np.asarray(np.any([decoded(one["segmentation"], size) for one in of_image[image["id"]]], 0), bool),
            )


def decoded(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return a mask of COCO's: polygons, or a run-length code."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return np.asarray(coco_mask.decode(segmentation), bool)
    codes = coco_mask.frPyObjects(segmentation, *size)
    return np.asarray(coco_mask.decode(coco_mask.merge(codes) if isinstance(codes, list) else codes), bool)


def read_picture(path: Path) -> Picture:
    """Return (H, W, 3) uint8 RGB."""
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise SystemExit(f"error: {path} is no picture")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def mask_of(instances: Instances, label: int, least: float) -> np.ndarray:
    """Return (H, W) uint8, 255 where an instance of that label and score is."""
    keep = (instances.labels == label) & (instances.scores >= least)
    return np.asarray(255 * instances.select(keep).masks.any(0), np.uint8)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure what stays visible of people.")
    parser.add_argument("annotations", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--count", type=int, default=80)
    options = parser.parse_args()
    model = load_model(options.model)
    predictor, person = TorchPredictor(model), model.class_names.index("person")
    visible: dict[str, list[float]] = defaultdict(list)
    left: dict[str, int] = defaultdict(int)
    total = 0
    for name, people in list(annotated(options.annotations))[: options.count]:
        image = read_picture(options.pictures / name)
        (found,) = predictor.predict_batch([image], HIDE_SCORE, [person])
        ways = {
            f"masks as they are shown (score {SHOWN_SCORE})": mask_of(found, person, SHOWN_SCORE),
            f"masks from a score of {HIDE_SCORE} on": mask_of(found, person, HIDE_SCORE),
            "what --effect hides": cover_of(mask_of(found, person, HIDE_SCORE)),
        }
        total += int(people.sum())
        for way, cover in ways.items():
            seen = int(np.count_nonzero(people & (cover == 0)))
            left[way] += seen
            visible[way].append(seen / int(people.sum()))
    print(
        f"{options.model}, {len(next(iter(visible.values())))} pictures, {platform.machine()}, {os.cpu_count()} cores\n"
    )
    print("| covered by | person pixels visible | pictures with more than half visible |\n|---|---|---|")
    for way, shares in visible.items():
        print(f"| {way} | {100 * left[way] / total:.1f} % | {sum(share > 0.5 for share in shares)} |")


if __name__ == "__main__":
    main()
