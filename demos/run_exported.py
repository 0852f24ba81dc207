"""Run an exported model without torch, by ONNX Runtime or OpenVINO; you will see its instances in OUT.png.

python -m solov2.export nano nano.onnx                    or nano.xml
python demos/run_exported.py nano.onnx PICTURE OUT.png    the picture has the shape of 1280x720, as in the export
"""

import json
import sys

import cv2
import numpy as np


def open_onnx(path: str):  # type: ignore[no-untyped-def]
    """Return the facts of an ONNX file, the size of its input, and what runs it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    facts = session.get_modelmeta().custom_metadata_map["solov2"]
    return json.loads(facts), session.get_inputs()[0].shape[:2], lambda rgb: session.run(None, {"image": rgb})


def open_openvino(path: str):  # type: ignore[no-untyped-def]
    """Return the same of an OpenVINO file."""
    import openvino

    compiled = openvino.compile_model(model := openvino.Core().read_model(path), "CPU")
    facts = model.get_rt_info(["solov2"]).value
    return json.loads(facts), model.inputs[0].shape[:2], lambda rgb: list(compiled([rgb]).values())


network, picture, out = sys.argv[1:]
facts, (height, width), run = (open_onnx if network.endswith(".onnx") else open_openvino)(network)
image = cv2.imread(picture)
if image is None:
    sys.exit(f"{picture} is not a picture that can be read")
scores, labels, masks, _ = run(np.ascontiguousarray(cv2.resize(image, (width, height))[..., ::-1]))
for score, label, mask in zip(scores, labels, masks, strict=True):
    if score >= 0.3:
        enlarged = cv2.resize(mask, None, fx=4, fy=4)[:height, :width]  # masks lie at a quarter of the input's size
        inside = cv2.resize(enlarged, image.shape[1::-1]) > 0.5
        image[inside] = image[inside] // 2 + np.array([0, 90, 127], np.uint8)
        print(f"{facts['class_names'][label]} {score:.2f}, {inside.sum()} pixels")
cv2.imwrite(out, image)
