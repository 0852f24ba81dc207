"""What the masks of a 720p picture cost: crops, id map, dense masks, run-length codes, tracking; the processor's time.

    python -m benchmarks.instances
    python -m benchmarks.instances --counts 10 100 --rounds 5

"planes" are the codes that pycocotools makes from a plane of the picture's size for each instance, for comparison.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from app.processors.observation import observations
from app.processors.tracker import Tracker
from solov2 import Instances
from solov2.decoding.geometry import Geometry

GEOMETRY = Geometry.fit((720, 1280), 512, 320)


def blobs(count: int) -> Tensor:
    """Return (N, h, w) probabilities: soft shapes of many sizes, each within a rectangle."""
    random = torch.Generator().manual_seed(0)
    height, width = GEOMETRY.mask_hw
    probs = torch.zeros(count, height, width)
    for plane in probs:
        sides = [int(torch.randint(5, side // 2, (), generator=random)) for side in (height, width)]
        top, left = (
            int(torch.randint(0, side - own, (), generator=random))
            for side, own in zip((height, width), sides, strict=True)
        )
        coarse = 2 + 3 * torch.randn(1, 1, 4, 4, generator=random)
        shape = F.interpolate(coarse, size=sides, mode="bicubic", align_corners=False)[0, 0].sigmoid()
        plane[top : top + sides[0], left : left + sides[1]] = shape
    return probs


def fresh(probs: Tensor) -> Instances:
    """Return instances of which nothing was computed yet."""
    return Instances.from_probs(probs, np.linspace(0.9, 0.3, len(probs)), np.zeros(len(probs)), GEOMETRY)


def cropped(probs: Tensor) -> Instances:
    """Return instances whose crops are there."""
    instances = fresh(probs)
    assert len(instances.crops) == len(probs)
    return instances


def planes(instances: Instances) -> None:
    """Encode a plane of the picture's size for each instance."""
    plane = np.zeros(instances.image_hw, np.uint8, order="F")
    for crop in instances.crops:
        crop.window(plane)[:] = crop.mask
        coco_mask.encode(plane)
        crop.window(plane)[:] = 0


def tracking(instances: Instances) -> None:
    """Give ids to the instances of two equal frames."""
    tracker = Tracker()
    seen = observations(instances)
    for step in range(2):
        tracker.update(seen, step / 25)


STEPS: dict[str, tuple[Callable[[Tensor], Instances], Callable[[Instances], object]]] = {
    "crops": (fresh, lambda instances: instances.crops),
    "id map": (cropped, lambda instances: instances.id_map),
    "dense masks": (cropped, lambda instances: instances.masks),
    "codes": (cropped, lambda instances: instances.rle()),
    "planes": (cropped, planes),
    "observations": (fresh, observations),
    "observe and track": (fresh, tracking),
}


def milliseconds(make: Callable[[], Instances], work: Callable[[Instances], object], rounds: int) -> float:
    """Return the least time that `work` took this thread."""
    took = []
    for _ in range(rounds):
        instances = make()
        began = time.thread_time()
        work(instances)
        took.append(time.thread_time() - began)
    return 1000 * min(took)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each step; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 100], metavar="N", help="instances (10 100)")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many (%(default)s)")
    options = parser.parse_args(argv)
    print(f"{'ms':20}" + "".join(f"{count:8}" for count in options.counts) + "   instances")
    for name, (make, work) in STEPS.items():
        times = [milliseconds(partial(make, blobs(count)), work, options.rounds) for count in options.counts]
        print(f"{name:20}" + "".join(f"{one:8.2f}" for one in times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
