"""Keeps what was hidden hidden for a second after the model misses it, as a processor."""

from dataclasses import dataclass, replace

import numpy as np

from app.stream.frames import Hidden, Result
from solov2 import Instances
from solov2.masks.mask_crop import MaskCrop
from solov2.pixels import Size

HOLD_SECONDS = 1.0
MIN_COVERED = 0.8  # of an earlier mask, by the masks of its class now; it is held where they cover less


@dataclass(frozen=True, slots=True)
class _HeldMask:
    """A mask of an earlier frame, seen at `seconds`."""

    label: int
    crop: MaskCrop
    seconds: float


class MaskHold:
    """Adds to the `hidden` of each result the masks of the last second that those of this frame do not cover."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: list[_HeldMask] = []
        self._image_hw: Size = (0, 0)

    def __call__(self, result: Result) -> Result:
        """Return `result` with what has to stay hidden."""
        if result.hidden is None:
            self._held = []
            return result
        found, seconds = result.hidden.instances, result.frame.pts_seconds
        if found.image_hw != self._image_hw:
            self._held, self._image_hw = [], found.image_hw
        now = [_HeldMask(label, crop, seconds) for label, crop in zip(found.labels.tolist(), found.crops, strict=True)]
        planes = {label: _plane(now, label, found.image_hw) for label in {one.label for one in self._held}}
        held = [
            one
            for one in self._held
            if 0 <= seconds - one.seconds <= HOLD_SECONDS and _covered(one.crop, planes[one.label]) < MIN_COVERED
        ]
        self._held = held + [one for one in now if one.crop.mask.size]
        crops, labels = [one.crop for one in self._held], [one.label for one in self._held]
        hidden = Instances.from_crops(crops, np.ones(len(crops)), np.array(labels, np.int64), found.image_hw)
        return replace(result, hidden=Hidden(hidden, result.hidden.classes))


def _plane(masks: list[_HeldMask], label: int, image_hw: Size) -> np.ndarray:
    """Return (H, W) bool: where the masks of a class are."""
    plane = np.zeros(image_hw, np.bool_)
    for one in masks:
        if one.label == label:
            one.crop.window(plane)[:] |= one.crop.mask
    return plane


def _covered(crop: MaskCrop, plane: np.ndarray) -> float:
    return int(np.count_nonzero(crop.window(plane) & crop.mask)) / int(np.count_nonzero(crop.mask))
