"""One name for each thing, as a processor of what viewers see."""

import time
from dataclasses import replace

import numpy as np

from app.processors.affinity import mask_ious
from app.processors.observation import observations
from app.stream.frames import Result

MAX_IOU = 0.75  # more than that, and two masks are of the same thing


class OneName:
    """Leaves out an instance whose mask is nearly that of a better one, whatever the two are called.

    Matrix NMS compares instances of the same class alone, so that a dog can be a cat as well. It comes before what
    numbers the instances (steadying, tracking).
    """

    def __call__(self, result: Result) -> Result:
        """Return `result` with the best instance of each thing, and the time that this took."""
        started = time.perf_counter()
        masks = [observation.mask for observation in observations(result.instances)]
        same = np.triu(mask_ious(masks, masks) > MAX_IOU, 1)  # [better, worse]
        kept = np.ones(len(masks), np.bool_)
        for number in range(len(masks)):
            if kept[number]:
                kept &= ~same[number]
        instances = result.instances if kept.all() else result.instances.select(kept)
        return replace(
            result, instances=instances, steps_ms={**result.steps_ms, "names": 1000 * (time.perf_counter() - started)}
        )
