"""An `instances.jsonl` made by hand, with the masks that annotation formats get wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

CLASSES = ("person", "cat & dog")
HW = (60, 90)


def masks() -> list[np.ndarray]:
    """Masks of every kind: plain, with holes and an island in one, in parts, at the edges, tiny, as large as can be."""
    ring = box(5, 5, 40, 45)
    ring[12:30, 12:35] = False
    ring[18:22, 20:26] = True
    ring[33:36, 30:33] = False
    parts = box(50, 2, 58, 12) | box(2, 70, 9, 88) | box(30, 60, 31, 61)
    rows, columns = np.ogrid[: HW[0], : HW[1]]
    disc = (rows - 30) ** 2 + (columns - 50) ** 2 <= 20**2
    noise = cv2.resize(np.random.default_rng(3).random((12, 18)), HW[::-1]) > 0.55
    pixel, line = box(17, 33, 18, 34), box(20, 10, 21, 80)
    return [box(10, 20, 30, 60), ring, parts, disc, noise, pixel, line, box(0, 0, *HW), box(0, 80, 60, 90)]


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[top:bottom, left:right] = True
    return mask


def record(
    mask: np.ndarray, category_id: int = 1, score: float = 0.8732, track_id: int | None = None
) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    left, top, width, height = (int(number) for number in coco_mask.toBbox(code))
    track = {} if track_id is None else {"track_id": track_id}
    return {
        "category_id": category_id,
        "category": CLASSES[category_id - 1],
        "score": score,
        "bbox": [left, top, width, height],
        "area": int(mask.sum()),
        **track,
        "segmentation": {"size": list(mask.shape), "counts": code["counts"].decode("ascii")},
    }


def line(frame: int, records: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"frame": frame, "pts": frame * 3000, "seconds": round(frame / 30, 6), "instances": list(records), **more}


def header() -> dict[str, Any]:
    size = {"width": HW[1], "height": HW[0]}
    how = {"model": "nano", "score": 0.3, "stride": 2, "classes": list(CLASSES)}
    return {"format": "solov2-live/1", "source": "clip.mp4", **size, "time_base": "1/90000", "frame_rate": 29.97, **how}


def write_recording(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    with path.open("w") as file:
        for value in (header(), *lines):
            file.write(json.dumps(value, separators=(",", ":")) + "\n")
    return path


def recording(folder: Path) -> tuple[Path, dict[int, list[np.ndarray]]]:
    """Write three frames, the second without instances, two tracks going on; return the file and each frame's masks."""
    shown = masks()
    first = [record(mask, 1 + number % 2, 0.9 - number / 100, number + 1) for number, mask in enumerate(shown)]
    last = [record(shown[3], 2, 0.5, 2), record(shown[0], 1, 0.4, 1), record(shown[1], 1, 0.35, 77)]
    path = write_recording(folder / "instances.jsonl", [line(0, first), line(2, []), line(4, last)])
    return path, {0: shown, 2: [], 4: [shown[3], shown[0], shown[1]]}
