"""Some validation pictures with what a model finds on them, as files to look at."""

import colorsys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchvision.utils import draw_segmentation_masks

from solov2.data.coco_dataset import CocoDataset
from solov2.network.model import SOLOv2
from solov2.pixels import Image

PICTURES = 6
MIN_SCORE = 0.3
_LONG_PX = 640
_GOLDEN_RATIO = 0.618  # of the circle of hues from one label to the next


def write_previews(model: SOLOv2, dataset: CocoDataset, folder: Path, epoch: int) -> None:
    """Write `1-epoch000.jpg`, `2-epoch000.jpg` and so on, and with epoch 0 what was labelled, `1-labels.jpg`.

    Args:
        model: to predict with; its instances of at least `MIN_SCORE` are drawn, a colour for each class.
        dataset: the first `PICTURES` pictures that show something are taken.
        folder: is made.
        epoch: after which the model is as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labelled = {annotation["image_id"] for annotation in dataset.annotations}
    shown = [index for index, image in enumerate(dataset.images) if image["id"] in labelled][:PICTURES]
    for number, index in enumerate(shown, 1):
        sample = dataset.sample(index)
        if epoch == 0:
            _write(folder / f"{number}-labels.jpg", sample.image, sample.masks, sample.labels)
        found = model.predict(sample.image)
        found = found.select(found.scores >= MIN_SCORE)
        _write(folder / f"{number}-epoch{epoch:03}.jpg", sample.image, found.masks, found.labels)


def _write(path: Path, image: Image, masks: npt.NDArray[np.generic], labels: npt.NDArray[np.int64]) -> None:
    height, width = image.shape[:2]
    scale = min(_LONG_PX / max(height, width), 1.0)
    size_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    picture = torch.from_numpy(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)).permute(2, 0, 1)
    if len(masks):
        small = [cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) for mask in masks]
        colours = [_colour(label) for label in labels.tolist()]
        picture = draw_segmentation_masks(picture, torch.from_numpy(np.stack(small)).bool(), 0.5, colours)
    bgr = picture.flip(0).permute(1, 2, 0).contiguous().numpy()
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _colour(label: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(label * _GOLDEN_RATIO % 1, 0.8, 1))
    return red, green, blue
