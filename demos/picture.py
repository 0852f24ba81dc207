"""One picture in, one picture out: you will see an astronaut under a mask.

python demos/picture.py [PICTURE] [OUT.png]
"""

import sys

import cv2
import skimage.data

from solov2 import load_model

image = skimage.data.astronaut()
if len(sys.argv) > 1:
    bgr = cv2.imread(sys.argv[1])
    if bgr is None:
        sys.exit(f"could not read {sys.argv[1]} as a picture")
    image = bgr[..., ::-1]
out = sys.argv[2] if len(sys.argv) > 2 else "picture.png"

model = load_model("nano")
found = model.predict(image)
sure = found.select(found.scores > 0.3)

masked = image.copy()
for mask, label, score in zip(sure.masks, sure.labels, sure.scores, strict=True):
    masked[mask] = masked[mask] // 2 + (0, 90, 120)
    print(f"{model.class_names[label]} {score:.2f}: {mask.sum()} pixels")
cv2.imwrite(out, masked[..., ::-1])
print(f"saved {out}")
