"""From the command line's options to a run: the data, the numbers, the weights to start from."""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from solov2.checkpoints.checkpoint import read_checkpoint
from solov2.checkpoints.published import weights_path
from solov2.data.coco_dataset import CocoDataset
from solov2.data.data_folder import read_data_folder
from solov2.errors import DatasetError, SOLOv2Error
from solov2.files import writing
from solov2.network.model import SOLOv2
from solov2.training.distributed import Processes
from solov2.training.initialise import load_backbone, load_initial_weights
from solov2.training.loop import Run, prepare_run
from solov2.training.saved_run import resume_run
from solov2.training.train_config import TrainConfig, find_preset, fine_tuning, preset_of
from solov2.variants import VARIANTS, find_variant


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from, and what it is measured on (None: nothing is measured)."""

    train: CocoDataset
    validation: CocoDataset | None


def open_data(options: argparse.Namespace, processes: Processes) -> Data:
    """Return the data that the options name; that of a folder is written as COCO's JSON beside the run first.

    Raises:
        SOLOv2Error: there are fewer pictures than processes, or a file cannot be written.
        DatasetError: it cannot be used.
    """
    images, annotations = options.images, options.annotations
    val_images, val_annotations = options.val_images or images, options.val_annotations
    if options.data:
        images = val_images = options.data
        annotations, val_annotations = options.out / "train.json", options.out / "val.json"
        if processes.is_first:
            _convert(options.data, annotations, val_annotations)
        processes.wait()
    classes = options.classes.split(",") if options.classes else None
    train = CocoDataset(images, annotations, classes, accept_boxes=True)
    if len(train) < processes.count:
        raise SOLOv2Error(f"{processes.count} processes need as many pictures at least, got {len(train)}")
    validation = None
    if val_annotations:
        validation = CocoDataset(val_images, val_annotations, train.class_names, accept_boxes=True)
    return Data(train, validation)


def _convert(folder: Path, train: Path, validation: Path) -> None:
    if train.resolve().is_relative_to(folder.resolve()):
        raise SOLOv2Error(f"--out must not lie in {folder}, where its files would be taken for labels")
    read = read_data_folder(folder)
    print(f"{folder}: {read}", file=sys.stderr)
    _make_folder(train.parent)
    for path, content in ((train, read.train), (validation, read.validation)):
        with writing(path):
            path.write_text(json.dumps(content))


def choose_config(options: argparse.Namespace, pictures: int, processes: Processes) -> TrainConfig:
    """Return the preset's numbers, those of a fine-tuning with `--data`, changed as the options say.

    Raises:
        UnknownNameError: there is no such preset or variant.
        SOLOv2Error: a number is out of its range, or the batch cannot be divided among the processes.
    """
    variant = find_variant(options.variant).name if options.variant else None
    config = find_preset(options.preset or preset_of(variant or "nano"))
    config = replace(config, variant=variant or config.variant)
    settable = {name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate", "seed")}
    given = {name: value for name, value in settable.items() if value is not None}
    try:
        config = fine_tuning(config, pictures, **given) if options.data else replace(config, **given)
    except ValueError as error:
        raise SOLOv2Error(str(error)) from error
    if config.batch_size % processes.count:
        raise SOLOv2Error(f"--batch-size must be a multiple of {processes.count} processes, got {config.batch_size}")
    return config


def start_run(
    options: argparse.Namespace,
    config: TrainConfig,
    data: Data,
    device: torch.device,
    dtype: torch.dtype,
    processes: Processes,
) -> Run:
    """Return the run that is in the options' folder, or else a fresh one from the weights that they name.

    Raises:
        DatasetError: the data have boxes alone, and the variant cannot learn from those.
    """
    if data.train.box_count and VARIANTS[config.variant].grid_sizes is not None:
        raise DatasetError(
            f"{data.train.annotations_file} has {data.train.box_count} instances with a box and no mask: only nano "
            f"learns from boxes, {config.variant} needs outlines"
        )
    torch.manual_seed(config.seed)
    model = SOLOv2(VARIANTS[config.variant], _class_names(options, config, data.train))
    model.mask_head.initialise()
    _make_folder(options.out)
    last = options.out / "last.pt"
    if not last.exists():
        _load_weights(options, config, model)
    run = prepare_run(config, model, device, dtype, processes)
    run.labels = torch.tensor([model.class_names.index(name) for name in data.train.class_names])
    if last.exists():
        resume_run(run, last)
        if processes.is_first:
            print(f"continuing {options.out} at step {run.step}", file=sys.stderr)
    return run


def _class_names(options: argparse.Namespace, config: TrainConfig, dataset: CocoDataset) -> tuple[str, ...]:
    """Return the classes of the model: the data's, after those of weights whose knowledge the run keeps."""
    if options.classes or config.keeps == "nothing" or not _starts_whole(options, config):
        return dataset.class_names
    known = read_checkpoint(_initial_path(options, config)).class_names or ()
    return (*known, *(name for name in dataset.class_names if name not in known))


def _starts_whole(options: argparse.Namespace, config: TrainConfig) -> bool:
    """Return whether the run starts from all of a model's weights, not from those of a backbone alone."""
    has_backbone = VARIANTS[config.variant].backbone != "shufflenet"  # which is published inside a detector only
    return bool(options.init) or not (options.backbone or (has_backbone and not options.data))


def _initial_path(options: argparse.Namespace, config: TrainConfig) -> Path:
    name = options.init or config.variant
    if name in VARIANTS and VARIANTS[name].weights_file is None:
        raise SOLOv2Error(
            f"no weights were published for {name} to start from: name some by --init FILE, or by --backbone FILE "
            "those of a backbone"
        )
    return weights_path(name) if name in VARIANTS else Path(name)


def _make_folder(path: Path) -> None:
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def _load_weights(options: argparse.Namespace, config: TrainConfig, model: SOLOv2) -> None:
    if _starts_whole(options, config):
        load_initial_weights(model, _initial_path(options, config))
    else:
        load_backbone(model, options.backbone)
