"""The same instances in any company, and in lower precision? `python -m tests.parity.agreement --help`."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from solov2 import VARIANTS, Instances, SOLOv2, load_model
from solov2.pixels import Image
from solov2.runtime.device import DTYPES, find_device, fold_batch_norms, prepare
from tests.parity.compare import MATCH_IOU, RECORDS, build
from tests.parity.recipe import make_picture

SIZES_HW = {"landscape": (300, 400), "portrait": (320, 240), "landscape again": (300, 400)}
TOGETHER = 4  # pictures that run in one call


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two results for the same pictures agree.

    Attributes:
        found, expected: numbers of instances.
        matched: share of the expected masks that a found one with the same label overlaps with an IoU of 0.95 or more.
        worst_iou: smallest IoU of an expected mask with its best match.
        score: largest difference between the sorted scores.
    """

    found: int
    expected: int
    matched: float
    worst_iou: float
    score: float


def agreement(found: list[Instances], expected: list[Instances]) -> Agreement:
    """Compare picture by picture and sum up."""
    best, scores = [np.ones(0)], [0.0]
    for ours, theirs in zip(found, expected, strict=True):
        shared = min(len(ours), len(theirs))
        scores += list(np.abs(ours.scores[:shared] - theirs.scores[:shared]))
        if len(ours) and len(theirs):
            overlaps = coco_mask.iou(theirs.rle(), ours.rle(), [False] * len(ours))
            best.append((overlaps * (theirs.labels[:, None] == ours.labels[None, :])).max(1))
        else:
            best.append(np.zeros(len(theirs)))
    ious = np.concatenate(best)
    return Agreement(
        sum(map(len, found)),
        sum(map(len, expected)),
        float((ious >= MATCH_IOU).mean()),
        float(ious.min(initial=1)),
        float(max(scores)),
    )


def emulate(model: SOLOv2, dtype: torch.dtype) -> SOLOv2:
    """Return a float32 `model` that computes as hardware does in `dtype`.

    Every weight and every layer's result is rounded to `dtype`, while sums are kept in float32, as tensor cores and
    AVX-512 keep them. For machines that have no such hardware, where the real thing takes minutes a picture.
    """
    fold_batch_norms(model)
    for parameter in model.parameters():
        parameter.data = _rounded(parameter.data, dtype)
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _module, _inputs, output: _rounded(output, dtype))
    return model


def _rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).float()


def measure(
    load: Callable[[], SOLOv2],
    pictures: Sequence[Image],
    device: torch.device,
    dtypes: list[str],
    is_emulated: bool,
    least_score: float = 0.0,
) -> Iterator[tuple[str, Agreement]]:
    """Yield (what, agreement with float32 one by one).

    Args:
        load: makes the model anew, as a lower precision changes it.
        pictures: (H, W, 3) uint8 RGB, of any sizes.
        device: what runs it.
        dtypes: names of the lower precisions.
        is_emulated: round as these do, instead of running in them.
        least_score: instances that float32 scores lower need not be found again.
    """
    model = prepare(load(), device, torch.float32)
    alone = [one.select(one.scores >= least_score) for one in map(model.predict, pictures)]

    def row(found: list[Instances]) -> Agreement:
        shown = sum(int((one.scores >= least_score).sum()) for one in found)
        return replace(agreement(found, alone), found=shown)

    batches = (pictures[first : first + TOGETHER] for first in range(0, len(pictures), TOGETHER))
    yield "together", row([one for batch in batches for one in model.predict(batch)])
    del model
    for name in dtypes:
        lower: nn.Module
        if is_emulated:
            lower = emulate(prepare(load(), device, torch.float32), DTYPES[name])
        else:
            lower = prepare(load(), device, DTYPES[name])
        yield name + (", emulated" if is_emulated else ""), row([lower.predict(one) for one in pictures])


def made_up(variant: str) -> SOLOv2:
    """`variant` with the recipe's weights."""
    recipe = recipe_of(variant)
    return build(variant, recipe["weight_seed"], recipe["cls_bias"])


def read_pictures(folder: Path, most: int) -> list[Image]:
    """The first `most` pictures of a folder, by name."""
    read = (cv2.imread(str(path)) for path in sorted(folder.iterdir()))
    pictures = [np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8) for bgr in read if bgr is not None]
    return pictures[:most]


def recipe_of(variant: str) -> dict[str, Any]:
    """The recipe of the record of `variant`; `r50` has that of `r50-1x`, whose network is the same."""
    name = {"r50": "r50-1x"}.get(variant, variant)
    (record,) = (path for path in RECORDS if path.name.startswith(f"{name}_"))
    recipe: dict[str, Any] = json.loads(str(np.load(record)["recipe"]))
    return recipe


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.agreement", description=__doc__)
    add = parser.add_argument
    add("--device", default="cpu")
    add("--dtypes", default="bfloat16,float16", help="to hold against float32 (bfloat16,float16)")
    add("--emulate", action="store_true", help="round as these do, where there is no hardware for them")
    add("--variants", default=",".join(name for name in VARIANTS if name != "nano"), help="with made-up weights")
    add("--model", help="instead: a model with its own weights, by name or file")
    add("--images", type=Path, help="pictures for it")
    add("--most", type=int, default=100, help="how many of them (%(default)s)")
    add("--score", type=float, default=0.3, help="least score of its instances that must be found (%(default)s)")
    options = parser.parse_args()
    device, dtypes = find_device(options.device), [name for name in options.dtypes.split(",") if name]
    common = {"device": device, "dtypes": dtypes, "is_emulated": options.emulate}
    print("| model | what | instances | matched at IoU 0.95 | worst mask IoU | score error |")
    print("|---|---|---|---|---|---|")
    if options.model:
        pictures = read_pictures(options.images, options.most)
        load = partial(load_model, options.model)
        print_rows(options.model, measure(load, pictures, least_score=options.score, **common))
        return
    pictures = [make_picture(*size, seed) for seed, size in enumerate(SIZES_HW.values())]
    for variant in options.variants.split(","):
        print_rows(variant, measure(partial(made_up, variant), pictures, **common))


def print_rows(name: str, rows: Iterable[tuple[str, Agreement]]) -> None:
    """Print the rows of one model as they come."""
    for what, row in rows:
        print(
            f"| {name} | {what} | {row.found} of {row.expected} | {100 * row.matched:.1f} % "
            f"| {row.worst_iou:.5f} | {row.score:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
