"""Run an exported model by ONNX Runtime, without torch; you will see its instances in OUT.png.

python -m solov2.export nano nano.onnx
python demos/run_onnx.py nano.onnx PICTURE OUT.png        the picture has the shape of 1280x720, as in the export
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def main(network: str, picture: str, out: str) -> None:
    """Find the instances, print them, and paint them into the picture."""
    session = onnxruntime.InferenceSession(network)
    names = json.loads(session.get_modelmeta().custom_metadata_map["solov2"])["class_names"]
    height, width, _ = session.get_inputs()[0].shape
    image = cv2.imread(picture)
    if image is None:
        sys.exit(f"{picture} is not a picture that can be read")
    rgb = np.ascontiguousarray(cv2.resize(image, (width, height))[..., ::-1])
    scores, labels, masks, _ = session.run(None, {"image": rgb})
    for score, label, mask in zip(scores, labels, masks, strict=True):
        if score >= 0.3:
            enlarged = cv2.resize(mask, None, fx=4, fy=4)[:height, :width]  # masks lie at a quarter of the input's size
            inside = cv2.resize(enlarged, image.shape[1::-1]) > 0.5
            image[inside] = image[inside] // 2 + np.array([0, 90, 127], np.uint8)
            print(f"{names[label]} {score:.2f}, {inside.sum()} pixels")
    cv2.imwrite(out, image)


if __name__ == "__main__":
    main(*sys.argv[1:])
