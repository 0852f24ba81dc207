"""Training from the command line: it learns, survives being killed, and answers mistakes in one line."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from solov2 import VARIANTS, SOLOv2, load_model
from solov2.checkpoints.checkpoint import read_checkpoint, save_checkpoint
from solov2.network.resnet import Backbone
from solov2.train import main
from solov2.training.loop import Run, learning_rate, make_optimizer, prepare_run, training_step, update_average
from solov2.training.train_config import DETECTOR, PRESETS, TrainConfig
from tests.fake_dataset import write_coco

KERNEL = "mask_head.kernel_branch.conv_kernel.weight"
TINY = TrainConfig(
    variant="nano",
    epochs=2,
    batch_size=2,
    optimizer="adamw",
    learning_rate=1e-3,
    warmup_steps=0,
    ema_decay=0.5,
    canvases=((64, 96),),
    scale_range=(0.8, 1.2),
    colour_jitter=True,
)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Sums in the same order every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of three steps, every one logged and saved."""
    monkeypatch.setitem(PRESETS, "nano", TINY)
    monkeypatch.setattr("solov2.training.train_run.LOG_EVERY_STEPS", 1)
    monkeypatch.setattr("solov2.training.train_run.SAVE_EVERY_SECONDS", -1.0)


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(Backbone("resnet18").state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_coco(tmp_path / "pictures", tmp_path / "train.json", count=6, size_hw=(64, 96))
    write_coco(tmp_path / "pictures", tmp_path / "val.json", count=1, size_hw=(64, 96), seed=1)
    return tmp_path


@pytest.fixture(scope="module")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    model = SOLOv2(VARIANTS["nano"], ("square", "bar"))
    model.mask_head.initialise()
    save_checkpoint(path, model.state_dict(), "nano", model.class_names)
    return path


@pytest.fixture
def train(folder: Path, start_file: Path) -> Callable[..., int]:
    """A function that runs the command on the made pictures; later options win."""

    def run(*options: object) -> int:
        fixed = ["--images", folder / "pictures", "--annotations", folder / "train.json", "--out", folder / "run"]
        fixed += ["--init", start_file, "--device", "cpu", "--dtype", "float32", "--workers", 0]
        return main([str(argument) for argument in (*fixed, *options)])

    return run


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed to standard error, if it is a single line that begins with "error: "."""
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    return printed


def test_training_lowers_the_loss_and_leaves_a_model_that_loads(
    folder: Path, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "nano", replace(TINY, repeats=3, scale_range=(1.0, 1.0), colour_jitter=False))
    assert train("--val-annotations", folder / "val.json") == 0
    lines = log_of(folder / "run")
    steps, validations = (
        [line for line in lines if "mask_loss" in line],
        [line for line in lines if "validation" in line],
    )
    assert [line["step"] for line in steps] == list(range(1, 19))
    assert [line["step"] for line in validations] == [9, 18]
    assert all(0 <= line["validation"]["AP"] <= 1 for line in validations)
    totals = [line["mask_loss"] + line["category_loss"] for line in steps]
    assert np.mean(totals[-3:]) < 0.9 * np.mean(totals[:3])
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)

    model = load_model(folder / "run" / "best.safetensors")
    assert model.class_names == ("square", "bar")
    assert model.variant.name == "nano"


def test_a_network_of_fixed_grids_is_trained_from_a_backbone(folder: Path, backbone_file: Path) -> None:
    given = ["--images", folder / "pictures", "--annotations", folder / "train.json", "--out", folder / "run"]
    given += ["--backbone", backbone_file, "--device", "cpu", "--dtype", "float32", "--workers", 0, "--epochs", 1]
    assert main([str(word) for word in ("--preset", "nano", "--variant", "light-r18", *given)]) == 0
    assert all(line["box_loss"] == 0 for line in log_of(folder / "run"))
    assert load_model(folder / "run" / "best.safetensors").variant.name == "light-r18"


def test_frozen_parts_stay_as_they_are_and_the_others_move(
    folder: Path, train: Callable[..., int], start_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "nano", replace(TINY, frozen=DETECTOR))
    assert train("--epochs", 1) == 0
    before, after = (read_checkpoint(path).state_dict for path in (start_file, folder / "run" / "best.safetensors"))
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert "mask_head.kernel_branch.conv_kernel.weight" in moved
    assert not any(name.startswith(DETECTOR) for name in moved)
    assert all(line["category_loss"] == 0 for line in log_of(folder / "run"))


def test_a_run_that_keeps_knowledge_has_all_classes_and_resumes_with_its_teacher(
    folder: Path, train: Callable[..., int], start_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "nano", replace(TINY, keeps="other classes"))
    renamed = folder / "known.safetensors"
    save_checkpoint(renamed, read_checkpoint(start_file).state_dict, "nano", ("bar", "cat"))
    stop_at(monkeypatch, 2)
    assert train("--init", renamed) == 130
    state = torch.load(folder / "run" / "last.pt", weights_only=True)
    assert state["class_names"] == ["bar", "cat", "square"]
    name = "backbone.stem.conv.weight"
    assert torch.equal(state["teacher"][name], read_checkpoint(start_file).state_dict[name])
    assert not torch.equal(state["model"][name], state["teacher"][name])
    assert train("--init", renamed, "--classes", "square,bar") == 2


def test_without_validation_the_newest_averaged_weights_are_exported(folder: Path, train: Callable[..., int]) -> None:
    assert train() == 0
    saved = torch.load(folder / "run" / "last.pt", weights_only=True)
    exported = load_model(folder / "run" / "best.safetensors").state_dict()
    assert saved["step"] == 6
    for name, tensor in saved["averaged"].items():
        assert torch.equal(exported[name], tensor), name


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let Ctrl-C arrive before this step."""

    def stopping(run: Run, *others: Any) -> Any:
        if run.step == step:
            raise KeyboardInterrupt
        return training_step(run, *others)

    monkeypatch.setattr("solov2.training.train_run.training_step", stopping)


@pytest.mark.parametrize("step", [2, 4])
def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    folder: Path, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    assert train("--out", folder / "whole") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert train("--out", folder / "cut") == 130
    assert torch.load(folder / "cut" / "last.pt", weights_only=True)["step"] == step
    assert train("--out", folder / "cut") == 0

    whole, cut = (torch.load(folder / name / "last.pt", weights_only=True) for name in ("whole", "cut"))
    for part in ("model", "averaged"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(cut[part][name], tensor, rtol=1e-5, atol=1e-6)
    assert [line["step"] for line in log_of(folder / "cut")] == [1, 2, 3, 4, 5, 6]


def test_a_run_cut_off_while_it_is_validated_is_validated_again(
    folder: Path, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    options = "--epochs", 1, "--val-annotations", folder / "val.json"
    with monkeypatch.context() as patch:
        patch.setattr("solov2.training.train_run.predictions", interrupt)
        assert train(*options) == 130
    assert train(*options) == 0
    assert sum("validation" in line for line in log_of(folder / "run")) == 1
    assert (folder / "run" / "best.safetensors").exists()


def test_a_finished_run_has_nothing_left_to_do(folder: Path, train: Callable[..., int]) -> None:
    assert train("--epochs", 1) == 0
    before = (folder / "run" / "log.jsonl").read_text()
    assert train("--epochs", 1) == 0
    assert (folder / "run" / "log.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learning-rate", 0.002], "is of another run: learning_rate 0.001 there, 0.002 here. Choose another --out"),
        (["--classes", "bar"], "is of another run: classes ['square', 'bar'] there, ['bar'] here"),
    ],
)
def test_a_run_is_not_continued_with_other_settings(
    train: Callable[..., int], capsys: pytest.CaptureFixture[str], options: list[object], message: str
) -> None:
    assert train("--epochs", 1) == 0
    capsys.readouterr()
    assert train("--epochs", 1, *options) == 2
    assert message in one_line(capsys)


def test_a_damaged_run_is_said_to_be_damaged(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run").mkdir()
    for content in (b"", b"PK\x03\x04 cut off", b"\x80\x02c__builtin__\neval\n."):
        (folder / "run" / "last.pt").write_bytes(content)
        assert train() == 2
        assert "last.pt" in one_line(capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(step="1"), "damaged, or no saved run"),
        (lambda state: state.update(best_ap=float("nan")), "damaged, or no saved run"),
        (lambda state: state["optimizer"]["state"][0].pop("exp_avg"), "damaged, or no saved run"),
        (lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(3)), "damaged, or no saved run"),
        (lambda state: state["model"].popitem(), "missing: "),
        (lambda state: state["averaged"].update(x=torch.zeros(1).expand(10**9)), "1,000,000,000 values, 4 bytes"),
        (lambda state: state.update(class_names=[torch.ones(1), "b"]), "damaged, or no saved run"),
        (lambda state: state.update(class_names=torch.ones(1).expand(10**9)), "damaged, or no saved run"),
    ],
)
def test_a_run_whose_state_is_not_its_own_is_not_resumed(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    assert train("--epochs", 1) == 0
    state = torch.load(folder / "run" / "last.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "run" / "last.pt")
    capsys.readouterr()
    assert train("--epochs", 1) == 2
    error = one_line(capsys)
    assert message in error
    assert "last.pt" in error


def test_a_gradient_that_is_not_a_number_leaves_the_weights_as_they_were(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = []

    def clip(parameters: Iterable[torch.Tensor], most: float) -> torch.Tensor:
        models.append([parameter.detach().clone() for parameter in parameters])
        return torch.tensor(float("nan") if len(models) == 3 else 1.0)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    assert train("--epochs", 1, "--batch-size", 1) == 2
    assert "stopped being a number at step 2." in capsys.readouterr().err
    assert len(models) == 3
    assert not (folder / "run" / "best.safetensors").exists()


def test_a_run_from_before_a_setting_was_there_goes_on_with_that_settings_default(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--epochs", 1) == 0
    state = torch.load(folder / "run" / "last.pt", weights_only=True)
    del state["config"]["ema_decay"]
    torch.save(state, folder / "run" / "last.pt")
    capsys.readouterr()
    assert train("--epochs", 1) == 2
    assert "ema_decay 0.0 there, 0.5 here" in one_line(capsys)
    del state["config"]
    torch.save(state, folder / "run" / "last.pt")
    assert train("--epochs", 1) == 2
    assert "no saved run" in one_line(capsys)


def test_a_loss_that_is_not_a_number_ends_the_run_before_it_is_saved(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--learning-rate", 1e30) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: the loss stopped being a number ")
    assert "lower --learning-rate" in last
    assert not (folder / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "gone"], "no such folder of pictures: gone"),
        (["--annotations", "gone.json"], "could not read gone.json: No such file or directory"),
        (["--val-annotations", "gone.json"], "could not read gone.json"),
        (["--preset", "nanno"], "unknown preset 'nanno'. Did you mean 'nano'?"),
        (["--variant", "r51"], "unknown variant 'r51'. Did you mean 'r50'?"),
        (["--classes", "bra"], "unknown class of train.json 'bra'. Did you mean 'bar'?"),
        (["--epochs", 0], "epochs must be above 0, got 0"),
        (["--batch-size", -1], "batch_size must be above 0, got -1"),
        (["--learning-rate", "nan"], "learning_rate must be above 0, got nan"),
        (["--learning-rate", "inf"], "learning_rate must be above 0, got inf"),
        (["--epochs", 0, "--annotations", "gone.json"], "epochs must be above 0, got 0"),
        (["--classes", "bar,bar"], "classes must differ, got 'bar' twice"),
        (["--seed", -1], "seed must be 0 or more, got -1"),
        (["--workers", -1], "workers"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--dtype", "half"], "unknown dtype 'half'"),
        (["--init", "gone.pth"], "gone.pth"),
        (["--out", "/proc/run"], "/proc/run"),
        (["--val-images", "there"], "--val-images needs --val-annotations"),
        (["--backbone", "resnet18.pth"], "--init and --backbone both"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    train: Callable[..., int], capsys: pytest.CaptureFixture[str], options: list[object], message: str
) -> None:
    assert train(*options) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_of_the_wrong_size_ends_the_run_with_its_name(
    folder: Path, train: Callable[..., int], capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    cv2.imwrite(str(folder / "pictures" / "train_003.png"), np.zeros((40, 50, 3), np.uint8))
    assert train("--workers", workers) == 2
    errors = capsys.readouterr().err.split("error: ")
    assert errors[-1] == f"train_003.png is 50x40, but {folder}/train.json says 96x64\n"


def test_the_learning_rate_warms_up_from_a_third() -> None:
    config = replace(TINY, warmup_steps=100, drops=(8, 11), epochs=12)
    assert learning_rate(config, 0, 1000) == pytest.approx(1 / 3)
    assert learning_rate(config, 50, 1000) == pytest.approx(2 / 3)
    assert learning_rate(config, 100, 1000) == pytest.approx(1)


def test_the_learning_rate_falls_in_drops_or_as_a_cosine_to_one_percent() -> None:
    drops = replace(TINY, drops=(8, 11), epochs=12)
    assert [learning_rate(drops, step, 10) for step in (1, 79, 80, 109, 110)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    cosine = replace(TINY, epochs=10)
    assert [learning_rate(cosine, step, 10) for step in (1, 50, 100)] == pytest.approx([1, 0.505, 0.01], abs=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_backbone_learns_slower_and_adamw_decays_no_norms(optimizer: Any) -> None:
    model = SOLOv2(VARIANTS["nano"])
    model.backbone.freeze()
    config = replace(TINY, optimizer=optimizer, learning_rate=0.1, backbone_rate=0.2, weight_decay=0.3)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    rates, decays = {}, {}
    for group in make_optimizer(model, config).param_groups:
        for parameter in group["params"]:
            rates[name_of[id(parameter)]], decays[name_of[id(parameter)]] = group["full_lr"], group["weight_decay"]
    assert rates["backbone.stages.1.0.left.0.weight"] == pytest.approx(0.02)
    assert rates["mask_head.branches.0.conv_cls.weight"] == pytest.approx(0.1)
    assert decays["mask_head.branches.0.conv_cls.weight"] == 0.3
    assert decays["mask_head.branches.0.conv_cls.bias"] == (0.0 if optimizer == "adamw" else 0.3)
    assert rates.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("ema_decay", "share"), [(0.0, 1.0), (0.05, 0.95), (0.998, 1 - 2 / 11)])
def test_averaged_weights_follow_the_trained_ones(ema_decay: float, share: float) -> None:
    run = prepare_run(replace(TINY, ema_decay=ema_decay), SOLOv2(VARIANTS["nano"]), torch.device("cpu"), torch.float32)
    before = run.averaged.get_parameter(KERNEL).clone()
    with torch.no_grad():
        run.model.get_parameter(KERNEL).add_(1)
    run.step = 1
    update_average(run)
    torch.testing.assert_close(run.averaged.get_parameter(KERNEL), before + share)
