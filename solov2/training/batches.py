"""The stream of training batches: the same for the same seed, from whichever step it is entered."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from solov2.data.coco_dataset import CocoDataset, Sample
from solov2.decoding.geometry import Geometry
from solov2.errors import DatasetError
from solov2.pixels import Size
from solov2.training.augment import View, show, show_four
from solov2.training.distributed import ALONE, Processes
from solov2.training.matching import InstanceTargets, instance_targets
from solov2.training.targets import GroundTruth, Targets, assign
from solov2.training.train_config import TrainConfig
from solov2.variants import PIXEL_MEAN, Variant


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step's data.

    Attributes:
        pixels: (B, 3, H, W) uint8.
        targets: of each image.
    """

    pixels: Tensor
    targets: list[Targets] | list[InstanceTargets]

    def pin_memory(self) -> "Batch":
        """Return this batch where a CUDA device reads it without the processor's help; called by the loader."""
        targets: list[Any] = [target.pin_memory() for target in self.targets]
        return Batch(self.pixels.pin_memory(), targets)


Request = tuple[int, Size | None, int]  # picture, canvas, seed of its view


class TrainingViews(Dataset[tuple[Tensor, GroundTruth]]):
    """Pictures of a dataset as the recipe shows them."""

    def __init__(self, dataset: CocoDataset, variant: Variant, config: TrainConfig) -> None:
        """Keep the parts."""
        self.dataset, self.variant, self.config = dataset, variant, config

    def __getitem__(self, request: Request) -> tuple[Tensor, GroundTruth]:
        """Return the (3, H, W) uint8 canvas and the instances for one request."""
        index, canvas_hw, seed = request
        rng = np.random.default_rng(seed)
        if canvas_hw is None or rng.random() >= self.config.mosaic:
            sample = self.dataset.sample(index)
            return show(sample, self._view(sample, canvas_hw, rng))
        quarter_hw = canvas_hw[0] // 2, canvas_hw[1] // 2
        others = rng.integers(len(self.dataset), size=3)
        samples = [self.dataset.sample(int(chosen)) for chosen in rng.permutation([index, *others])]
        return show_four(samples, [self._view(sample, quarter_hw, rng) for sample in samples])

    def _view(self, sample: Sample, canvas_hw: Size | None, rng: np.random.Generator) -> View:
        height, width = sample.image.shape[:2]
        view = self._placed((height, width), canvas_hw, rng)
        colour_seed = int(rng.integers(2**31)) if self.config.colour_jitter else None
        return replace(view, mirrored=bool(rng.random() < 0.5), colour_seed=colour_seed)

    def _placed(self, image_hw: Size, canvas_hw: Size | None, rng: np.random.Generator) -> View:
        if canvas_hw is None:
            short_px = int(rng.choice(self.variant.train_short_px))
            geometry = Geometry.fit(image_hw, self.variant.long_px, short_px)
            return View(geometry.padded_hw, geometry.resized_hw)
        fit = min(canvas / side for canvas, side in zip(canvas_hw, image_hw, strict=True))
        scale = fit * rng.uniform(*self.config.scale_range)
        height, width = (max(int(side * scale + 0.5), 1) for side in image_hw)
        return View(canvas_hw, (height, width), (float(rng.random()), float(rng.random())))


class _Requests:
    """This process's share of the batches of one epoch, from `first_step` on."""

    def __init__(
        self, dataset: CocoDataset, config: TrainConfig, epoch: int, first_step: int, processes: Processes
    ) -> None:
        batches = list(_epoch_requests(dataset, config, epoch))[first_step:]
        self.batches = [batch[processes.rank :: processes.count] for batch in batches]

    def __iter__(self) -> Iterator[list[Request]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _epoch_requests(dataset: CocoDataset, config: TrainConfig, epoch: int) -> Iterator[list[Request]]:
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(_shown(dataset, config))
    for start in range(0, _full_batches(len(order), config) * config.batch_size, config.batch_size):
        canvas = config.canvases[rng.integers(len(config.canvases))] if config.canvases else None
        yield [(int(index), canvas, int(rng.integers(2**31))) for index in order[start : start + config.batch_size]]


def _shown(dataset: CocoDataset, config: TrainConfig) -> npt.NDArray[np.int64]:
    """The pictures of one epoch, each as often as it is shown."""
    counts = np.maximum(dataset.instance_counts(), 1)
    times = np.rint(counts**config.crowd_exponent).astype(np.int64)
    return np.repeat(np.arange(len(dataset)), times * config.repeats)


def steps_per_epoch(dataset: CocoDataset, config: TrainConfig) -> int:
    """Return the number of batches of an epoch; a last incomplete one is left out, unless it is the only one."""
    return _full_batches(len(_shown(dataset, config)), config)


def _full_batches(pictures: int, config: TrainConfig) -> int:
    return max(pictures // config.batch_size, 1)


def training_batches(
    dataset: CocoDataset,
    variant: Variant,
    config: TrainConfig,
    epoch: int,
    *,
    first_step: int = 0,
    workers: int = 0,
    processes: Processes = ALONE,
) -> Iterator[Batch]:
    """Yield this process's share of the batches of `epoch` from its step `first_step` on.

    Raises:
        DatasetError: a picture cannot be read, or its annotations are broken.
    """
    loader: DataLoader[Any] = DataLoader(
        TrainingViews(dataset, variant, config),
        batch_sampler=_Requests(dataset, config, epoch, first_step, processes),
        num_workers=workers,
        collate_fn=partial(collate_batch, variant=variant, background=len(dataset.class_names)),
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context=_worker_context() if workers else None,
    )
    try:
        yield from loader
    except DatasetError as error:
        # From a worker process it comes with the text of its traceback, of which the message is the last line.
        message = str(error).splitlines()[-1].removeprefix(f"{DatasetError.__module__}.{DatasetError.__name__}: ")
        raise DatasetError(message) from error


def _worker_context() -> BaseContext:
    """Return how worker processes start: from a process that never ran a thread, where the system can.

    A plain fork copies the locks of OpenMP, OpenCV and other threads; one that was held stays held forever.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def collate_batch(samples: Sequence[tuple[Tensor, GroundTruth]], variant: Variant, background: int) -> Batch:
    """Pad the canvases to the largest of them, right and bottom, and assign the targets."""
    height = max(pixels.shape[1] for pixels, _ in samples)
    width = max(pixels.shape[2] for pixels, _ in samples)
    fill = torch.tensor(PIXEL_MEAN).round().to(torch.uint8)[:, None, None]
    batch = fill.expand(len(samples), 3, height, width).clone()
    targets: list[Any] = []
    for canvas, (pixels, truth) in zip(batch, samples, strict=True):
        canvas[:, : pixels.shape[1], : pixels.shape[2]] = pixels
        pad = (0, width - pixels.shape[2], 0, height - pixels.shape[1])
        masks = F.pad(torch.from_numpy(truth.masks), pad).numpy()
        padded = replace(truth, masks=masks)
        if variant.grid_sizes is None:
            targets.append(instance_targets(padded))
        else:
            targets.append(assign(padded, variant.grid_sizes, variant.scale_ranges, background))
    return Batch(batch, targets)
