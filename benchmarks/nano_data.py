"""Write the annotation files that `nano` was trained and measured with, from two folders of COCO-format data.

    python -m benchmarks.nano_data --data DIR --out DIR

`DIR` holds `person_cat/` (`train.json`, `val.json`, `coco80.json`, `images/`) and `coco_pool/` (`instances.json`,
`images/`). Written are `train.json`, with all 80 categories, and `held_back.json`, which nothing is trained or tuned
on: the pictures of `coco80.json` that are in `val.json` too, and every third picture of `coco_pool` (COCO's image id
divisible by 3). File names in both are relative to `DIR`, so both are used with `--images DIR`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from solov2.data.coco_file import read_coco
from solov2.variants import COCO_CLASSES

Content = dict[str, Any]
HELD_BACK_DIVISOR = 3


def merge(parts: list[tuple[str, Content, set[str]]], categories: list[dict[str, Any]]) -> Content:
    """Return one content of the named pictures of several, with new ids and `categories`.

    Args:
        parts: for each the folder of its pictures, the content, and the file names of the pictures to take.
        categories: of the result; those of the parts are matched by name.
    """
    ids = {category["name"]: category["id"] for category in categories}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for folder, content, wanted in parts:
        names = {category["id"]: category["name"] for category in content["categories"]}
        renumbered = {}
        for image in content["images"]:
            if image["file_name"] in wanted:
                renumbered[image["id"]] = len(images) + 1
                images.append({**image, "id": len(images) + 1, "file_name": f"{folder}/{image['file_name']}"})
        for annotation in content["annotations"]:
            if annotation["image_id"] in renumbered:
                changed = {
                    "id": len(annotations) + 1,
                    "image_id": renumbered[annotation["image_id"]],
                    "category_id": ids[names[annotation["category_id"]]],
                }
                annotations.append({**annotation, **changed})
    return {"images": images, "annotations": annotations, "categories": categories}


def split(data: Path) -> tuple[Content, Content]:
    """Return the contents to train on and to hold back."""
    own, validation, coco, pool = (
        read_coco(data / name)
        for name in (
            "person_cat/train.json",
            "person_cat/val.json",
            "person_cat/coco80.json",
            "coco_pool/instances.json",
        )
    )
    of_coco, of_validation = _names(coco), _names(validation)
    held_pool = {image["file_name"] for image in pool["images"] if image["id"] % HELD_BACK_DIVISOR == 0}
    first, second = "person_cat/images", "coco_pool/images"
    categories = sorted(coco["categories"], key=lambda category: COCO_CLASSES.index(category["name"]))
    train = merge(
        [
            (first, own, _names(own) - of_coco),
            (first, coco, of_coco - of_validation),
            (second, pool, _names(pool) - held_pool),
        ],
        categories,
    )
    return train, merge([(first, coco, of_coco & of_validation), (second, pool, held_pool)], categories)


def _names(content: Content) -> set[str]:
    return {image["file_name"] for image in content["images"]}


def main() -> None:
    """Write both files, and print how much is in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("train.json", "held_back.json"), split(options.data), strict=True):
        (options.out / name).write_text(json.dumps(content))
        print(f"{options.out / name}: {len(content['images'])} pictures, {len(content['annotations'])} instances")


if __name__ == "__main__":
    main()
