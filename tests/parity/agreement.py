"""The same instances in any company, and in lower precision? `python -m tests.parity.agreement --help`."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from solov2 import VARIANTS, Instances, SOLOv2
from solov2.engine import DTYPES, find_device, fold_batch_norms, prepare
from solov2.image import Image
from tests.parity.compare import MATCH_IOU, RECORDS, build
from tests.parity.recipe import make_picture

SIZES_HW = {"landscape": (300, 400), "portrait": (320, 240), "landscape again": (300, 400)}


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
    variant: str, device: torch.device, dtypes: list[str], is_emulated: bool
) -> Iterator[tuple[str, Agreement]]:
    """Yield (what, agreement with float32 one by one) for `variant` with made-up weights."""
    recipe = recipe_of(variant)
    pictures: list[Image] = [make_picture(*size, seed) for seed, size in enumerate(SIZES_HW.values())]
    model = prepare(build(variant, recipe["weight_seed"], recipe["cls_bias"]), device, torch.float32)
    alone = [model.predict(picture) for picture in pictures]
    yield "together", agreement(model.predict(pictures), alone)
    del model
    for name in dtypes:
        lower: nn.Module = build(variant, recipe["weight_seed"], recipe["cls_bias"])
        if is_emulated:
            lower = emulate(prepare(lower, device, torch.float32), DTYPES[name])
        else:
            lower = prepare(lower, device, DTYPES[name])
        yield name + (", emulated" if is_emulated else ""), agreement([lower.predict(one) for one in pictures], alone)


def recipe_of(variant: str) -> dict[str, Any]:
    """The recipe of the record of `variant`; `r50` has that of `r50-1x`, whose network is the same."""
    name = {"r50": "r50-1x"}.get(variant, variant)
    (record,) = (path for path in RECORDS if path.name.startswith(f"{name}_"))
    recipe: dict[str, Any] = json.loads(str(np.load(record)["recipe"]))
    return recipe


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.agreement", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="bfloat16,float16", help="to hold against float32 (bfloat16,float16)")
    parser.add_argument("--emulate", action="store_true", help="round as these do, where there is no hardware for them")
    parser.add_argument("--variants", default=",".join(name for name in VARIANTS if name != "nano"))
    options = parser.parse_args()
    device, dtypes = find_device(options.device), [name for name in options.dtypes.split(",") if name]
    print("| variant | what | instances | matched at IoU 0.95 | worst mask IoU | score error |")
    print("|---|---|---|---|---|---|")
    for variant in options.variants.split(","):
        for what, row in measure(variant, device, dtypes, options.emulate):
            print(
                f"| {variant} | {what} | {row.found} of {row.expected} | {100 * row.matched:.1f} % "
                f"| {row.worst_iou:.5f} | {row.score:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
