"""Hold our network against the recorded reference, variant by variant: `python -m tests.parity.compare`."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from solov2 import VARIANTS, Instances, SOLOv2
from solov2.decoding.decode import decode
from solov2.network.outputs import HeadOutputs
from solov2.runtime.device import find_device, find_dtype, prepare
from tests.parity.recipe import make_picture, make_weights

FOLDER = Path(__file__).parent
RECORDS = sorted(FOLDER.glob("*.npz"))
MATCH_IOU = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one run is from its record.

    Attributes:
        variant: its name.
        network: largest difference of any recorded network value, relative to the largest value of its tensor or 1.
        found, expected: numbers of instances.
        matched: share of the recorded masks that one of ours with the same label overlaps with an IoU of 0.95 or more.
        worst_iou: smallest IoU of a recorded mask with its match.
        score: largest difference between the sorted scores.
    """

    variant: str
    network: float
    found: int
    expected: int
    matched: float
    worst_iou: float
    score: float


def build(variant: str, weight_seed: int, category_bias: float) -> SOLOv2:
    """Return the variant with the recipe's weights, in eval mode."""
    model = SOLOv2(VARIANTS[variant])
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(make_weights(shapes, weight_seed, category_bias))
    return model.eval()


@torch.inference_mode()
def compare(record: Path, device: str = "cpu", dtype: str = "float32") -> Difference:
    """Run one record's picture through its variant and return the differences."""
    expected: dict[str, Any] = dict(np.load(record))
    recipe = json.loads(str(expected["recipe"]))
    place = find_device(device)
    model = build(recipe["model"], recipe["weight_seed"], recipe["cls_bias"])
    model = prepare(model, place, find_dtype(dtype, place))
    height, width = map(int, expected["size"])
    image = make_picture(height, width, recipe["image_seed"])
    geometry = model.geometry(image)
    if geometry.resized_hw != tuple(expected["resized"]) or geometry.padded_hw != tuple(expected["padded"]):
        raise AssertionError(f"{geometry} is not the recorded {expected['resized']}, {expected['padded']}")
    batch = model.preprocess([image], geometry)
    pyramid = model.neck(model.backbone(batch))
    outputs: HeadOutputs = model.mask_head(pyramid)
    network = _network_difference(batch, pyramid, outputs, expected)
    return _instance_difference(recipe["model"], network, decode(outputs, geometry), expected)


def _network_difference(batch: Tensor, pyramid: list[Tensor], outputs: HeadOutputs, expected: dict[str, Any]) -> float:
    tensors: dict[str, Tensor] = {"input": batch, "mask_features": outputs.mask_features}
    for i in range(5):
        tensors |= {f"fpn{i}": pyramid[i], f"cls{i}": outputs.category_logits[i], f"kernel{i}": outputs.kernels[i]}
    return max(_difference(tensor, expected[name]) for name, tensor in tensors.items())


def _difference(tensor: Tensor, expected: Any) -> float:
    flat = tensor.float().cpu().contiguous().flatten()
    picked = flat[torch.linspace(0, flat.numel() - 1, len(expected)).long()]
    return float(np.abs(picked.numpy() - expected).max() / max(np.abs(expected).max(), 1.0))


def _instance_difference(variant: str, network: float, instances: Instances, expected: dict[str, Any]) -> Difference:
    size = [int(side) for side in expected["size"]]
    codes = [{"size": size, "counts": str(code).encode()} for code in expected["rle"]]
    overlaps = coco_mask.iou(codes, instances.rle(), [False] * len(instances))  # (recorded, ours)
    labels = expected["labels"][: len(codes)]
    best = (overlaps * (labels[:, None] == instances.labels[None, :])).max(1)
    shared = min(len(instances), len(expected["scores"]))
    return Difference(
        variant,
        network,
        len(instances),
        len(expected["scores"]),
        float((best >= MATCH_IOU).mean()),
        float(best.min()),
        float(np.abs(instances.scores[:shared] - expected["scores"][:shared]).max()),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.compare")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    print("| variant | network values | instances | matched at IoU 0.95 | worst mask IoU | score error |")
    print("|---|---|---|---|---|---|")
    for record in RECORDS:
        row = compare(record, options.device, options.dtype)
        print(
            f"| {row.variant} | {row.network:.1e} | {row.found} of {row.expected} | {100 * row.matched:.1f} % "
            f"| {row.worst_iou:.5f} | {row.score:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
