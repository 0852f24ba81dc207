"""From a model's name and an engine's to what runs it: a SOLOv2 by any engine, or an exported file."""

from pathlib import Path

import torch

from solov2.errors import EngineError
from solov2.load import load_model
from solov2.network.model import SOLOv2
from solov2.predictor import Predictor
from solov2.runtime.engine import Hint
from solov2.runtime.engine_choice import choose_engine, open_checked
from solov2.runtime.exported_model import ExportedModel, ExportedPredictor
from solov2.runtime.names import EXPORT_FORMATS
from solov2.runtime.torch_predictor import TorchPredictor

Runnable = SOLOv2 | ExportedModel


def load_runnable(name: str, device: torch.device, dtype: str, input_px: tuple[int, int] | None = None) -> Runnable:
    """Return what `load_model` does, or an exported file, whose own device and precision are the only ones.

    Raises:
        EngineError: an exported file is asked for on CUDA, or at another input size than it was exported for.
    """
    path = Path(name)
    if path.suffix not in EXPORT_FORMATS or not path.is_file():
        return load_model(name, device=device, dtype=dtype, input_px=input_px)
    if device.type != "cpu":
        raise EngineError(f"{name} was exported for the CPU, not for {device}. Use --device cpu")
    model = ExportedModel(path)
    own_px = model.variant.long_px, model.variant.short_px
    if input_px not in (None, own_px):
        raise EngineError("{} was exported for an input of {}x{}. Leave out --input-size".format(name, *own_px))
    return model


def open_predictor(
    model: Runnable, engine: str = "auto", hint: Hint = "latency", batch_size: int = 1, *, wait_each_step: bool = False
) -> Predictor:
    """Return what runs `model` by the engine called `engine`; the other arguments are those of `TorchPredictor`.

    Raises:
        EngineError: that engine cannot run it here, or gives other masks than torch. "auto" takes another one then.
    """
    if isinstance(model, ExportedModel):
        if engine not in ("auto", "eager", model.engine):
            raise EngineError(f"{model.path} was exported for {model.engine}, not for {engine}. Leave out --engine")
        return ExportedPredictor(model, hint)
    if engine == "auto":
        _, opened = choose_engine(model, hint, batch_size)
    else:
        opened = open_checked(engine, model, hint, batch_size)
    return TorchPredictor(model, hint, batch_size, wait_each_step=wait_each_step, engine=opened)
