"""A tiny segmentation network in an ONNX file, with weights made up by hand: it finds what is red, green and blue."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
NAMES = ("red", "green", "blue")
SHARPNESS = 0.1  # of a level, before the sigmoid
MARGIN = 60  # levels that a colour must be above the mean of the two others


def write_network(path: Path) -> Path:
    """Write a 3x3 convolution over the colours, a sigmoid, and the best probability of each class as its score."""
    kernels = np.zeros((3, 3, 3, 3), np.float32)
    kernels[:, :, :, :] = ((1.5 * np.eye(3) - 0.5) / 9 * SHARPNESS)[:, :, None, None]
    bias = np.full(3, -MARGIN * SHARPNESS, np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["planes", "first"], ["batch"]),
        helper.make_node("Conv", ["batch", "kernels", "bias"], ["logits"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        helper.make_node("Squeeze", ["probabilities", "first"], ["unsorted"]),
        helper.make_node("ReduceMax", ["unsorted"], ["best"], axes=[1, 2], keepdims=0),
        helper.make_node("TopK", ["best", "count"], ["scores", "labels"]),
        helper.make_node("Gather", ["unsorted", "labels"], ["masks"]),
    ]
    values = {"kernels": kernels, "bias": bias, "first": np.array([0]), "count": np.array([3])}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
        [
            helper.make_tensor_value_info("masks", TensorProto.FLOAT, [3, "height", "width"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [3]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, {"names": ",".join(NAMES)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
