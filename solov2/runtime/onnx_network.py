"""A network as ONNX bytes, which several engines read."""

import logging
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from solov2.network.model import SOLOv2
from solov2.runtime.engine_cache import cached, file_name
from solov2.runtime.flat_network import FlatNetwork, output_names


def network_as_onnx(model: SOLOv2, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> bytes:
    """Return the network of `model`, without decoding, for batches of `shape` (B, 3, H, W), from the cache if it can.

    Input `images`; outputs: see `output_names`.
    """
    name = file_name(model, tuple(shape), dtype, suffix=".onnx")
    device = torch.device("cpu")

    def convert() -> bytes:
        return as_onnx(
            FlatNetwork(model, device, dtype), torch.zeros(tuple(shape), dtype=dtype), "images", output_names(model)
        )

    return cached(name, convert)


def as_onnx(module: nn.Module, example: torch.Tensor, input_name: str, names: Sequence[str]) -> bytes:
    """Return `module` as an ONNX file with static shapes, by torch's exporter, which goes through `torch.export`."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            module.eval(), (example,), input_names=[input_name], output_names=list(names), dynamo=True, verbose=False
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    return bytes(program.model_proto.SerializeToString())
