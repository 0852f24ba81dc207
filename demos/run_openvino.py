"""Run an exported model by OpenVINO, without torch; you will see its instances in OUT.png.

python -m solov2.export nano nano.xml
python demos/run_openvino.py nano.xml PICTURE OUT.png        the picture has the shape of 1280x720, as in the export
"""

import json
import sys

import cv2
import numpy as np
import openvino


def main(network: str, picture: str, out: str) -> None:
    """Find the instances, print them, and paint them into the picture."""
    model = openvino.Core().read_model(network)
    names = json.loads(model.get_rt_info(["solov2"]).value)["class_names"]
    height, width, _ = model.inputs[0].shape
    compiled = openvino.compile_model(model, "CPU")
    image = cv2.imread(picture)
    if image is None:
        sys.exit(f"{picture} is not a picture that can be read")
    rgb = np.ascontiguousarray(cv2.resize(image, (width, height))[..., ::-1])
    found = compiled([rgb])
    scores, labels, masks = (found[name] for name in ("scores", "labels", "masks"))
    for score, label, mask in zip(scores, labels, masks, strict=True):
        if score >= 0.3:
            enlarged = cv2.resize(mask, None, fx=4, fy=4)[:height, :width]  # masks lie at a quarter of the input's size
            inside = cv2.resize(enlarged, image.shape[1::-1]) > 0.5
            image[inside] = image[inside] // 2 + np.array([0, 90, 127], np.uint8)
            print(f"{names[label]} {score:.2f}, {inside.sum()} pixels")
    cv2.imwrite(out, image)


if __name__ == "__main__":
    main(*sys.argv[1:])
