"""Which of the installed engines runs a network fastest here, with the masks that torch gives."""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from solov2.decoding.decode import decode_batch
from solov2.decoding.decode_config import DecodeConfig
from solov2.errors import EngineError, SOLOv2Error
from solov2.instances import Instances
from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs
from solov2.pixels import Image, Size, resize_bilinear
from solov2.predictor import WARM_UP_HW, Predictor
from solov2.runtime.engine import Engine, Hint, engine_names, failed, open_engine
from solov2.runtime.engine_cache import cached, file_name
from solov2.runtime.names import ENGINE_NAMES
from solov2.runtime.torch_predictor import TorchPredictor

ROUNDS = 5  # of each engine, interleaved; the median counts
CALLS_PER_WORKER = 2  # of each round
MAX_ERROR = 0.1  # of an output: the length of the difference by the length of torch's
MIN_OVERLAP = 0.9  # of the best masks, in the mean
PROBE_CELLS_PX = (240, 60, 15)
COMPARED = DecodeConfig(score_threshold=0.0, final_score_threshold=0.0, max_before_nms=20, max_instances=20)

Opened = tuple[str, Engine | None]


def probe_picture(image_hw: Size = WARM_UP_HW) -> Image:
    """Return a picture with edges and textures of all sizes, the same each time: (H, W, 3) uint8."""
    height, width = image_hw
    random = np.random.default_rng(0)
    layers = [
        resize_bilinear(random.integers(0, 256, (max(height // cell, 2), max(width // cell, 2), 3), np.uint8), image_hw)
        for cell in PROBE_CELLS_PX
    ]
    return np.asarray(np.stack(layers).mean(0), np.uint8)


def choose_engine(model: SOLOv2, hint: Hint, batch_size: int = 1, image_hw: Size = WARM_UP_HW) -> Opened:
    """Return the name of the fastest engine, and the engine: None for torch itself.

    The first time, each is opened, compared with torch and timed on a picture of this size; later the cache knows. One
    that fails is told in one line on standard error, and left out.
    """
    names = engine_names(model.device.type)
    if len(names) == 1:
        return "eager", None
    size = model.geometry(np.zeros((*image_hw, 3), np.uint8)).padded_hw
    record = file_name(model, hint, batch_size, size, names, torch.get_num_threads(), suffix=".json")
    opened: dict[str, Engine | None] = {}

    def measure() -> bytes:
        print(f"finding the fastest engine for {model.variant.name}: once, up to a minute", file=sys.stderr)
        opened.update(_usable(model, hint, batch_size, image_hw))
        times = times_ms(model, hint, batch_size, opened, image_hw=image_hw)
        return json.dumps({"engine": min(times, key=times.__getitem__), "ms": times}).encode()

    name = _engine_in(cached(record, measure))
    if name in opened:
        return name, opened[name]
    with telling_failures():
        return name, open_checked(name, model, hint, batch_size, image_hw=image_hw)
    return "eager", None


def open_checked(
    name: str, model: SOLOv2, hint: Hint, batch_size: int = 1, *, image_hw: Size = WARM_UP_HW
) -> Engine | None:
    """Return the engine called `name`, which has run on a picture of this size as torch does; None for "eager".

    Raises:
        EngineError: it cannot be opened, fails, or its outputs or masks differ.
    """
    engine = open_engine(name, model, hint)
    if engine is not None:
        check_engine(model, engine, name, batch_size, image_hw=image_hw)
    return engine


def check_engine(model: SOLOv2, engine: Engine, name: str, batch_size: int = 1, *, image_hw: Size = WARM_UP_HW) -> None:
    """Run `engine` on a picture of this size, and compare what it gives with what torch gives.

    Raises:
        EngineError: it fails, or its outputs or masks differ.
    """
    picture = probe_picture(image_hw)
    geometry = model.geometry(picture)
    with torch.inference_mode():
        batch = model.preprocess([picture] * batch_size, geometry)
        expected: HeadOutputs = model(batch)
        try:
            found = engine(batch)
        except Exception as error:
            raise failed(name, error) from error
        complaint = difference(expected, found)
        if not complaint:
            ours, theirs = (decode_batch(outputs, geometry, COMPARED)[0] for outputs in (expected, found))
            overlap = mean_overlap(ours, theirs)
            complaint = f"masks overlap those of torch by {overlap:.2f}" if overlap < MIN_OVERLAP else ""
    if complaint:
        raise EngineError(f"the engine {name} is not used, as its {complaint}")


def difference(expected: HeadOutputs, found: HeadOutputs) -> str:
    """Return what differs between two outputs as the end of a sentence; nothing where they agree."""
    for kind, ours, theirs in _pairs(expected, found):
        if ours.shape != theirs.shape:
            return f"{kind} have the shape {tuple(theirs.shape)}, those of torch {tuple(ours.shape)}"
        ours, theirs = ours.float(), theirs.float().to(ours.device)
        error = float((ours - theirs).norm() / ours.norm().clamp(min=1e-6))
        if not error <= MAX_ERROR:  # NaN compares false
            return f"{kind} differ from those of torch by {100 * error:.0f} %"
    return ""


def _pairs(expected: HeadOutputs, found: HeadOutputs) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    yield "mask features", expected.mask_features, found.mask_features
    for ours, theirs in zip(expected.category_logits, found.category_logits, strict=True):
        yield "category logits", ours, theirs
    for ours, theirs in zip(expected.kernels, found.kernels, strict=True):
        yield "kernels", ours, theirs


def mean_overlap(expected: Instances, found: Instances) -> float:
    """Return the mean of `best_overlaps`, 1 where there are none."""
    overlaps = best_overlaps(expected, found)
    return statistics.fmean(overlaps) if overlaps else 1.0


def best_overlaps(expected: Instances, found: Instances) -> list[float]:
    """Return for each mask of `expected` that has pixels the largest IoU with one of the same label in `found`."""
    masks, others = (one.masks.reshape(len(one), math.prod(one.image_hw)) for one in (expected, found))
    best = []
    for mask, label in zip(masks, expected.labels, strict=True):
        same = others[found.labels == label]
        if mask.any():
            unions = (same | mask).sum(1)
            best.append(float(((same & mask).sum(1) / unions).max(initial=0)))
    return best


def times_ms(
    model: SOLOv2, hint: Hint, batch_size: int, engines: dict[str, Engine | None], *, image_hw: Size = WARM_UP_HW
) -> dict[str, float]:
    """Return the milliseconds of one image with each engine, decoding included: the median of interleaved rounds."""
    images = [probe_picture(image_hw)] * batch_size
    predictors = {name: TorchPredictor(model, hint, batch_size, engine=engine) for name, engine in engines.items()}
    rounds: dict[str, list[float]] = {name: [] for name in predictors}
    for number in range(ROUNDS + 1):
        for name, predictor in predictors.items():
            took = _seconds(predictor, lambda predictor=predictor: predictor.predict_batch(images, 0.3))  # type: ignore[misc]
            if number:  # the first round warms up
                rounds[name].append(1000 * took / batch_size)
    return {name: statistics.median(times) for name, times in rounds.items()}


def _seconds(predictor: Predictor, call: Callable[[], object]) -> float:
    """Return how long one call takes in the mean, with as many side by side as the predictor likes."""
    calls = CALLS_PER_WORKER * predictor.workers
    with ThreadPoolExecutor(predictor.workers) as pool:
        started = time.perf_counter()
        for running in [pool.submit(call) for _ in range(calls)]:
            running.result()
        return (time.perf_counter() - started) / calls


def _usable(model: SOLOv2, hint: Hint, batch_size: int, image_hw: Size) -> dict[str, Engine | None]:
    """Return the engines that agree with torch, which is the first of them."""
    usable: dict[str, Engine | None] = {"eager": None}
    for name in engine_names(model.device.type)[1:]:
        with telling_failures():
            usable[name] = open_checked(name, model, hint, batch_size, image_hw=image_hw)
    return usable


@contextmanager
def telling_failures() -> Iterator[None]:
    """Print an error of an engine as one line, and end the block."""
    try:
        yield
    except SOLOv2Error as error:
        print(error, file=sys.stderr)


def _engine_in(record: bytes) -> str:
    """Return the engine that a record of the cache names; "eager" where somebody has changed it."""
    try:
        name = json.loads(record)["engine"]
    except (ValueError, KeyError, TypeError):
        return "eager"
    return name if name in ENGINE_NAMES[1:] else "eager"
