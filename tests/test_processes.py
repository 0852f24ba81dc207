"""Several processes train as one."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from solov2.checkpoints.checkpoint import read_checkpoint, save_checkpoint
from solov2.errors import SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.train import build_parser
from solov2.training.distributed import Processes
from solov2.training.setup import choose_config, open_data
from solov2.variants import VARIANTS
from tests.fake_dataset import write_coco

SHRINK = """
import sys
from dataclasses import replace
from solov2 import train
from solov2.training import train_config, train_run
train_config.PRESETS["3x"] = replace(train_config.PRESETS["3x"], canvases=((64, 96),), scale_range=(0.8, 1.2))
train_run.LOG_EVERY_STEPS = 1
sys.exit(train.main())
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """One epoch of two steps with four pictures each."""
    torch.manual_seed(0)
    model = SOLOv2(VARIANTS["nano"], ("square", "bar"))
    model.mask_head.initialise()
    save_checkpoint(tmp_path / "start.safetensors", model.state_dict(), "nano", model.class_names)
    write_coco(tmp_path / "pictures", tmp_path / "labels.json", count=8)
    (tmp_path / "small.py").write_text(SHRINK)
    options = {
        "--preset": "3x",
        "--variant": "nano",
        "--init": tmp_path / "start.safetensors",
        "--images": tmp_path / "pictures",
        "--annotations": tmp_path / "labels.json",
        "--val-annotations": tmp_path / "labels.json",
        "--epochs": 1,
        "--batch-size": 4,
        "--workers": 0,
        "--device": "cpu",
    }
    return [str(word) for pair in options.items() for word in pair]


def train(arguments: list[str], out: Path, *launcher: str) -> str:
    command = [sys.executable, *launcher, str(out.parent / "small.py"), *arguments, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logged(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "mask_loss" in line]


def weights(out: Path) -> dict[str, Tensor]:
    saved: dict[str, Tensor] = torch.load(out / "last.pt", weights_only=True)["model"]
    return saved


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return math.sqrt(sum(float((one[name].double() - other[name].double()).square().sum()) for name in one))


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_batch(arguments: list[str], tmp_path: Path) -> None:
    train(arguments, tmp_path / "one")
    output = train(arguments, tmp_path / "two", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert output.count("done:") == 1
    one, two = logged(tmp_path / "one"), logged(tmp_path / "two")
    assert [line["step"] for line in two] == [1, 2]
    for key, tolerance in (("mask_loss", 1e-3), ("category_loss", 1e-3), ("gradient_norm", 1e-2)):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=tolerance)
    start = read_checkpoint(tmp_path / "start.safetensors").state_dict
    alone, shared = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert distance(alone, shared) < 0.02 * distance(start, alone)


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    options = build_parser().parse_args(["--batch-size", "5"])
    with pytest.raises(SOLOv2Error, match="--batch-size must be a multiple of 2 processes, got 5"):
        choose_config(options, 100, Processes(0, 2))


def test_fewer_pictures_than_processes_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path / "pictures", tmp_path / "labels.json", count=1)
    given = ["--images", str(tmp_path / "pictures"), "--annotations", str(tmp_path / "labels.json")]
    with pytest.raises(SOLOv2Error, match="2 processes need as many pictures at least, got 1"):
        open_data(build_parser().parse_args(given), Processes(0, 2))
