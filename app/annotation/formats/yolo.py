"""YOLO's segmentation labels: a text file for each frame, with one outline for each instance.

An outline is all that YOLO knows, so parts and holes are joined to it by bridges, there and back on the same way. Its
corners are pixels on the edge, a quarter of their size into them, where readers that round and readers that drop the
decimals both find them. Those that fill an outline together with its line, with OpenCV's `fillPoly`, get the mask
back, plus the pixels under the bridges if it has several parts or holes. Those that count the pixels inside get masks
that are smaller by about half a pixel all around.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from app.annotation.formats.atomic import atomic_file, atomic_folder, claim_path
from app.annotation.jsonl_reader import FrameRecord, Header, InstanceRecord, InstancesFile

IntArray = npt.NDArray[np.int32]

Bridge = tuple[int, tuple[int, int], int]  # its squared length, where it begins, the corner where it ends

INTO_PIXEL = 0.25
DIGITS = 6  # of a share: enough to keep a corner in its pixel
_NO_BRIDGE: Bridge = (sys.maxsize, (0, 0), 0)


def write_yolo(instances: Path, folder: Path) -> Path:
    """Write `labels/frame_000000.txt` and so on, and `data.yaml`, into `folder`.

    A frame without instances has an empty file. YOLO's layout has the pictures in `images/` beside `labels/`. It has no
    place for scores or track ids. Which pictures are for validation is left to who trains.

    Arguments, result and errors are those of each writer in `app.annotation.formats.FORMATS`.
    """
    recording = InstancesFile(instances)
    with atomic_folder(folder / "labels") as partial:
        for frame in recording:
            file = claim_path(partial / f"{frame.stem}.txt", frame.picture)
            file.write_text("".join(_line(instance, frame) for instance in frame.instances), encoding="ascii")
    path = folder / "data.yaml"
    with atomic_file(path) as description:
        description.write(_description(recording.header))
    return path


def _description(header: Header) -> str:
    names = dict(enumerate(header.classes))
    content = {"path": ".", "train": "images", "nc": len(names), "names": names}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _line(instance: InstanceRecord, frame: FrameRecord) -> str:
    shares = (outline(instance) + INTO_PIXEL) / (frame.width, frame.height)
    numbers = " ".join(f"{share:.{DIGITS}f}" for share in shares.ravel().tolist())
    return f"{instance.category_id - 1} {numbers}\n"


def outline(instance: InstanceRecord) -> IntArray:
    """Return the one outline of an instance: (corners, 2) int32 x, y of pixels, three corners at least."""
    crop = instance.crop()
    contours, _ = cv2.findContours(crop.mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [np.asarray(contour[:, 0], np.int32) for contour in contours]
    joined = join(rings)
    joined = np.concatenate([joined, joined[-1:].repeat(max(0, 3 - len(joined)), axis=0)])
    return joined + np.array((crop.left, crop.top), np.int32)


def join(rings: Sequence[IntArray]) -> IntArray:
    """Join closed rings, (corners, 2) each, to one by bridges between corners, each walked there and back.

    As in Prim's tree, the ring that is nearest to what is joined already comes next.
    """
    joined, added = rings[0], rings[0]
    bridges = dict.fromkeys(range(1, len(rings)), _NO_BRIDGE)
    while bridges:
        for number, bridge in bridges.items():
            bridges[number] = min(bridge, _shortest_bridge(added, rings[number]))
        number = min(bridges, key=lambda number: bridges[number])
        _, here_xy, there = bridges.pop(number)
        added = rings[number]
        here = int(np.flatnonzero((joined == here_xy).all(axis=1))[0])
        joined = np.concatenate([joined[: here + 1], added[there:], added[: there + 1], joined[here:]])
    return joined


def _shortest_bridge(start: IntArray, end: IntArray) -> Bridge:
    squares = ((start[:, None] - end[None]) ** 2).sum(axis=2)
    here, there = np.unravel_index(squares.argmin(), squares.shape)
    x, y = start[here].tolist()
    return int(squares[here, there]), (x, y), int(there)
