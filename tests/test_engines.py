"""Engines: what they give, which one is chosen, and what becomes of one that fails."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app import benchmark, webcam
from solov2 import VARIANTS, SOLOv2
from solov2.errors import EngineError, MissingExtraError, UnknownNameError
from solov2.network.outputs import HeadOutputs
from solov2.predictor import Predictor
from solov2.runtime import cuda_graph_engine, engine, engine_cache, engine_choice, names, onnx_network
from solov2.runtime.cuda_graph_engine import CudaGraphEngine, copied
from solov2.runtime.engine import MAX_SHAPES, Hint, engine_names, open_engine
from solov2.runtime.engine_choice import check_engine, choose_engine
from solov2.runtime.flat_network import FlatNetwork, output_names, unflatten
from solov2.runtime.open_predictor import open_predictor
from solov2.runtime.torch_predictor import TorchPredictor
from tests.made_nano import made_nano
from tests.parity.recipe import make_picture

SIZE = (64, 104)  # of the pictures on which engines are compared


@pytest.fixture(scope="module")
def model() -> SOLOv2:
    """A nano whose random weights find something everywhere, run at the size of the pictures."""
    made = made_nano(("person", "cat"))
    made.variant = replace(made.variant, long_px=128, short_px=96)
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOLOV2_CACHE", str(tmp_path))
    monkeypatch.setattr(engine_choice, "ROUNDS", 1)
    return tmp_path / "engines"


class FakeEngine:
    """Runs the network by torch, changes the outputs, and counts its calls."""

    workers = 1

    def __init__(self, model: SOLOv2, change: Callable[[HeadOutputs], HeadOutputs] = lambda outputs: outputs) -> None:
        self._model, self._change = model, change
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, batch: Tensor) -> HeadOutputs:
        self.shapes.append(tuple(batch.shape))
        return self._change(self._model(batch))


def use_engines(monkeypatch: pytest.MonkeyPatch, **openers: Callable[..., object]) -> None:
    """Let these be the engines that are installed, beside torch."""
    monkeypatch.setattr(engine, "OPENERS", {name: f"{__name__}:{name}" for name in openers})
    monkeypatch.setattr(names, "ENGINE_LIBRARIES", {"eager": (), **dict.fromkeys(openers, ())})
    monkeypatch.setattr(engine, "ENGINE_LIBRARIES", names.ENGINE_LIBRARIES)
    monkeypatch.setattr(engine_choice, "ENGINE_NAMES", ("auto", "eager", *openers))
    monkeypatch.setattr(engine, "resolve_name", lambda place: openers[place.partition(":")[2]])


def halved(outputs: HeadOutputs) -> HeadOutputs:
    return replace(outputs, mask_features=outputs.mask_features / 2)


def crash(outputs: HeadOutputs) -> HeadOutputs:
    raise RuntimeError("no kernel for this\nand a long story")


def test_the_flat_network_has_a_name_for_each_output_and_gives_the_same_outputs(model: SOLOv2) -> None:
    flat = FlatNetwork(model)
    batch = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        values, expected = flat(batch), model(batch)
    assert len(output_names(model)) == len(values)
    found = unflatten(values, model.variant.level_strides)
    assert engine_choice.difference(expected, found) == ""
    assert found.boxes is not None
    assert expected.boxes is not None
    assert torch.equal(found.boxes[-1], expected.boxes[-1])


def test_the_flat_network_of_a_variant_without_boxes_has_none() -> None:
    flat = FlatNetwork(SOLOv2(VARIANTS["light-r18"]).eval())
    with torch.inference_mode():
        values = flat(torch.rand(1, 3, 64, 96))
    assert len(output_names(flat.model)) == len(values)
    assert unflatten(values, flat.model.variant.level_strides).boxes is None


def test_a_predictor_with_an_engine_finds_what_torch_finds(model: SOLOv2) -> None:
    fake = FakeEngine(model)
    images = [make_picture(*SIZE, 1), make_picture(*SIZE, 2)]
    steps_ms: dict[str, float] = {}
    predictor: Predictor = TorchPredictor(model, engine=fake, batch_size=2)
    found = predictor.predict_batch(images, 0.2, steps_ms=steps_ms)
    expected = TorchPredictor(model, batch_size=2).predict_batch(images, 0.2)
    assert [len(one) for one in found] == [len(one) for one in expected] != [0, 0]
    np.testing.assert_array_equal(found[0].masks, expected[0].masks)
    assert fake.shapes == [(2, 3, 96, 128)]
    assert steps_ms["network"] > 0


def test_an_engine_is_asked_for_few_shapes_and_others_run_by_torch(model: SOLOv2) -> None:
    fake = FakeEngine(model)
    predictor = TorchPredictor(model, engine=fake)
    for size in ((64, 104), (104, 64), (64, 64), (64, 104)):
        assert len(predictor.predict_batch([make_picture(*size, 1)])) == 1
    assert len(fake.shapes) == 3
    assert len(set(fake.shapes)) == MAX_SHAPES


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (halved, "mask features differ from those of torch by 50 %"),
        (lambda outputs: replace(outputs, kernels=[-level for level in outputs.kernels]), "kernels differ"),
        (lambda outputs: replace(outputs, mask_features=outputs.mask_features * float("nan")), "differ .* by nan"),
        (lambda outputs: replace(outputs, mask_features=outputs.mask_features[..., 1:]), "have the shape"),
        (
            lambda outputs: replace(outputs, boxes=[0 * level for level in outputs.boxes]),
            "masks overlap those of torch",
        ),
        (crash, "the engine fast cannot run this network: RuntimeError: no kernel for this$"),
    ],
)
def test_an_engine_that_fails_or_disagrees_is_refused_in_one_line(
    model: SOLOv2, change: Callable[[HeadOutputs], HeadOutputs], complaint: str
) -> None:
    with pytest.raises(EngineError, match=complaint) as caught:
        check_engine(model, FakeEngine(model, change), "fast", image_hw=SIZE)
    assert "\n" not in str(caught.value)


def test_an_engine_that_rounds_otherwise_is_taken(model: SOLOv2) -> None:
    def rounded(outputs: HeadOutputs) -> HeadOutputs:
        return replace(outputs, mask_features=outputs.mask_features.bfloat16().float())

    check_engine(model, FakeEngine(model, rounded), "fast", image_hw=SIZE)


def test_auto_takes_the_fastest_engine_that_agrees_and_remembers_it(
    model: SOLOv2, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def opener(name: str, change: Callable[[HeadOutputs], HeadOutputs]) -> Callable[..., FakeEngine]:
        def open_it(model: SOLOv2, hint: str) -> FakeEngine:
            opened.append(name)
            return FakeEngine(model, change)

        return open_it

    use_engines(
        monkeypatch, wrong=opener("wrong", halved), slow=opener("slow", lambda o: o), fast=opener("fast", lambda o: o)
    )
    times = {"eager": 9.0, "wrong": 1.0, "slow": 5.0, "fast": 2.0}
    monkeypatch.setattr(
        engine_choice, "times_ms", lambda model, hint, batch, engines, **size: {name: times[name] for name in engines}
    )
    assert choose_engine(model, "latency", image_hw=SIZE)[0] == "fast"
    assert opened == ["wrong", "slow", "fast"]
    told = capsys.readouterr().err.splitlines()
    assert "finding the fastest engine" in told[0]
    assert "the engine wrong is not used" in told[1]
    assert len(told) == 2
    (record,) = cache.glob("*.json")
    assert json.loads(record.read_text()) == {"engine": "fast", "ms": {"eager": 9.0, "slow": 5.0, "fast": 2.0}}

    name, again = choose_engine(model, "latency", image_hw=SIZE)
    assert (name, opened) == ("fast", ["wrong", "slow", "fast", "fast"])
    assert isinstance(again, FakeEngine)
    assert capsys.readouterr().err == ""

    with torch.no_grad():
        other = made_nano(("person", "cat"), seed=8)
    choose_engine(other, "latency", image_hw=SIZE)
    assert len(list(cache.glob("*.json"))) == 2  # other weights are measured anew


def test_auto_is_torch_where_nothing_else_works(
    model: SOLOv2, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(model: SOLOv2, hint: str) -> FakeEngine:
        raise OSError("libfast.so: no such file")

    use_engines(monkeypatch, fast=broken)
    predictor = open_predictor(model, "auto")
    assert len(predictor.predict_batch([make_picture(*SIZE, 1)])) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[1:] == ["the engine fast cannot run this network: OSError: libfast.so: no such file"]


def test_a_choice_that_no_longer_works_falls_back_to_torch(
    model: SOLOv2, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_engines(monkeypatch, fast=lambda model, hint: FakeEngine(model))
    monkeypatch.setattr(engine_choice, "times_ms", lambda *options, **size: {"fast": 1.0})
    assert choose_engine(model, "latency", image_hw=SIZE)[0] == "fast"
    use_engines(monkeypatch, fast=lambda model, hint: FakeEngine(model, crash))
    assert choose_engine(model, "latency", image_hw=SIZE) == ("eager", None)
    assert "the engine fast cannot run this network" in capsys.readouterr().err


def test_an_engine_that_is_named_and_fails_ends_the_run(model: SOLOv2, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engines(monkeypatch, fast=lambda model, hint: FakeEngine(model, halved))
    with pytest.raises(EngineError, match="the engine fast is not used"):
        open_predictor(model, "fast")


def test_engines_are_told_apart_by_device(model: SOLOv2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "missing_libraries", lambda name: [])
    assert engine_names("cpu") == ["eager", "openvino", "onnx"]
    assert engine_names("cuda") == ["eager", "cuda-graph", "tensorrt"]
    with pytest.raises(EngineError, match="cuda-graph does not run on the device cpu"):
        open_engine("cuda-graph", model, "latency")


@pytest.mark.parametrize("command", [webcam, benchmark])
def test_a_missing_engine_is_told_with_the_command_that_installs_it(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(names, "find_spec", lambda library: None)
    assert command.main(["--source", "demo", "--engine", "openvino"]) == 2
    assert capsys.readouterr().err == (
        "error: this needs openvino, which is not installed. Try: pip install 'solov2-live[openvino]'\n"
    )


def test_engines_are_checked_by_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'openvno'"):
        names.check_engine_name("openvno")
    assert names.check_engine_name("eager") == "eager"
    assert names.check_engine_name("auto") == "auto"


def test_every_engine_with_libraries_has_an_extra_of_that_name() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    for name, libraries in names.ENGINE_LIBRARIES.items():
        section = text.partition(f"\n{name} = [")[2].partition("\n]")[0]
        assert all(f'"{library}' in section for library in libraries), name


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "find_spec", lambda library: None if library == "onnxscript" else object())
    with pytest.raises(
        MissingExtraError, match=r"onnxscript, which is not installed. Try: pip install 'solov2-live\[onnx\]'"
    ):
        names.check_engine_name("onnx")


def test_a_cache_that_cannot_be_written_is_told_in_one_line(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.write_text("a file in the place of the folder")
    assert engine_cache.cached("some.onnx", lambda: b"network") == b"network"
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not keep" in line
    assert "it is made again next time" in line


def test_a_full_disk_leaves_no_part_of_a_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> int:
        path.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert engine_cache.cached("some.onnx", lambda: b"network") == b"network"
    assert "No space left on device" in capsys.readouterr().err
    assert list(cache.iterdir()) == []


def test_the_cache_keeps_what_it_was_given_and_only_so_many_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "MAX_FILES", 3)
    for number in range(5):
        engine_cache.cached(f"{number}.onnx", lambda number=number: bytes([number]))  # type: ignore[misc]
    assert len(list(cache.iterdir())) == 3
    assert engine_cache.cached("4.onnx", lambda: b"made again") == bytes([4])


def test_a_cuda_graph_is_recorded_once_for_each_shape_and_gives_outputs_of_their_own(model: SOLOv2) -> None:
    recorded: list[tuple[int, ...]] = []

    def record(model: SOLOv2, example: Tensor) -> cuda_graph_engine.Replay:
        recorded.append(tuple(example.shape))
        held = model(example)

        def replay(batch: Tensor) -> HeadOutputs:
            held.mask_features.copy_(model(batch).mask_features)
            return copied(held)

        return replay

    made = CudaGraphEngine(model, record=record)
    with torch.inference_mode():
        first = made(torch.rand(1, 3, 64, 96))
        before = first.mask_features.clone()
        made(torch.rand(1, 3, 64, 96))
        made(torch.rand(2, 3, 64, 96))
    assert recorded == [(1, 3, 64, 96), (2, 3, 64, 96)]
    assert torch.equal(first.mask_features, before)


@pytest.mark.slow
def test_onnx_runtime_and_openvino_agree_with_torch_and_convert_the_network_once(
    model: SOLOv2, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name for name in ("onnx", "openvino") if not names.missing_libraries(name)}
    if not found:
        pytest.skip("neither ONNX Runtime nor OpenVINO is installed")
    conversions: list[str] = []
    as_onnx = onnx_network.as_onnx

    def counted(module: nn.Module, example: Tensor, input_name: str, names: Sequence[str]) -> bytes:
        conversions.append(input_name)
        return as_onnx(module, example, input_name, names)

    monkeypatch.setattr(onnx_network, "as_onnx", counted)
    picture = make_picture(*SIZE, 1)
    (expected,) = TorchPredictor(model).predict_batch([picture], 0.2)
    for name in found:
        for hint in get_args(Hint):
            opened = open_engine(name, model, hint)
            assert opened is not None
            check_engine(model, opened, name, image_hw=SIZE)
            (same,) = TorchPredictor(model, hint, engine=opened).predict_batch([picture], 0.2)
            assert engine_choice.mean_overlap(expected, same) > 0.99
            np.testing.assert_allclose(same.scores[:5], expected.scores[:5], atol=1e-3)
    assert len(conversions) == 1
