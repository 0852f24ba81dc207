"""Weights and pictures made from a seed: the ones that the reference values were recorded with."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float32]


def make_weights(shapes: Mapping[str, Sequence[int]], seed: int, category_bias: float) -> dict[str, Tensor]:
    """Return a tensor for each name; every one has a generator of its own, seeded by its name and `seed`."""
    return {
        name: torch.zeros(tuple(shape), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.from_numpy(_weight(name, tuple(shape), seed, category_bias))
        for name, shape in shapes.items()
    }


def _weight(name: str, shape: tuple[int, ...], seed: int, category_bias: float) -> FloatArray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + seed))
    noise = generator.standard_normal(int(np.prod(shape))).astype(np.float32).reshape(shape)
    if len(shape) == 4:
        fan_in, gain = np.prod(shape[1:]), _gain(name)
        scaled = noise * np.sqrt(2 / fan_in) if gain is None else noise * gain / np.sqrt(fan_in)  # rounded as recorded
        return np.asarray(scaled, np.float32)
    values: npt.NDArray[Any]
    match name.rsplit(".", 2):
        case [*_, "running_var"]:
            values = 0.5 + 0.5 * np.abs(noise)
        case [*_, "bn3", "weight"]:
            values = 0.3 * (1 + 0.1 * noise)
        case [*_, "weight"]:
            values = 1 + 0.1 * noise
        case [*_, "conv_cls", "bias"]:
            values = category_bias + 0.1 * noise
        case [*_, "bn3", "bias"]:
            values = 0.05 * noise
        case _:
            values = 0.1 * noise
    return np.asarray(values, np.float32)


def _gain(name: str) -> float | None:
    """Return the gain of the few convolutions that do not have the usual square root of 2."""
    if "conv_offset" in name:
        return 0.5
    return {"conv_cls": 1.6, "conv_kernel": 1.2}.get(name.split(".")[-2])


def make_picture(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return (height, width, 3) uint8 RGB waves with twelve discs on them."""
    generator = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [127 + 60 * np.sin(x / width * 6 + c) + 40 * np.cos(y / height * 5 - c) for c in range(3)]
    bgr = np.stack(waves, -1)
    for _ in range(12):
        center_y, center_x = generator.uniform(0, height), generator.uniform(0, width)
        radius = generator.uniform(0.05, 0.25) * min(height, width)
        bgr[(y - center_y) ** 2 + (x - center_x) ** 2 < radius * radius] = generator.uniform(0, 255, 3)
    return np.ascontiguousarray(np.clip(bgr, 0, 255).astype(np.uint8)[..., ::-1])
