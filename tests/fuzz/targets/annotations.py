"""Annotations of own pictures (COCO, YOLO, LabelMe) and predictions: read, trained on and measured."""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.annotation.formats.labelme import write_labelme
from solov2.data.coco_dataset import CocoDataset
from solov2.data.data_folder import read_data_folder
from solov2.evaluation.metrics import coco_metrics
from solov2.evaluation.predictions import read_predictions
from tests.fake_dataset import write_coco
from tests.fake_recording import HW, box, line, masks, record, write_recording
from tests.fuzz.files import HostileFile, mutated
from tests.fuzz.json_values import VALUES, as_bytes, changed
from tests.fuzz.target import Target

COUNT = 3  # pictures


@cache
def _coco() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return write_coco(Path(folder) / "images", Path(folder) / "labels.json", COUNT, HW)


@cache
def _labelme() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        shown = [record(mask, 1, 0.9, 1) for mask in (*masks()[:2], box(3, 4, 20, 30))]
        instances = write_recording(Path(folder) / "a.jsonl", [line(0, shown, file_name="labels_001.png")])
        content = json.loads((write_labelme(instances, Path(folder)) / "labels_001.json").read_text())
    content["imagePath"] = "images/labels_001.png"
    square = {"label": "person", "points": [[5, 5], [40, 8], [30, 50]], "shape_type": "polygon"}
    ring = {"label": "person", "points": [[30, 30], [40, 30]], "shape_type": "circle", "group_id": 3}
    return as_bytes({**content, "shapes": [*content["shapes"], square, ring]})


def _use(folder: Path) -> None:
    """Read a folder as training does, every mask and the figures of a prediction included."""
    read = read_data_folder(folder)
    for content in (read.train, read.validation):
        annotations = folder / "converted.json"
        annotations.write_text(json.dumps(content))
        dataset = CocoDataset(folder, annotations)
        samples = [dataset.sample(index) for index in range(len(dataset))]
        assert all(len(sample.masks) == len(sample.labels) for sample in samples)
        coco_metrics(dataset, [])
        annotations.unlink()


def _in_folder(place: Callable[[Path, bytes], None], file: HostileFile) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_coco(folder / "images", folder / "labels.json", COUNT, HW)
        (folder / "labels.json").unlink()
        place(folder, file.content)
        _use(folder)


def _place_coco(folder: Path, content: bytes) -> None:
    (folder / "labels.json").write_bytes(content)


def _place_labelme(folder: Path, content: bytes) -> None:
    (folder / "a.json").write_bytes(content)
    (folder / "b.json").write_bytes(_labelme().replace(b"labels_001", b"labels_002"))


def _place_yolo_labels(folder: Path, content: bytes) -> None:
    _write_yolo(folder, {"names": ["square", "bar"], "train": "images"})
    (folder / "labels/labels_001.txt").write_bytes(content)


def _place_yolo_yaml(folder: Path, content: bytes) -> None:
    _write_yolo(folder, {})
    (folder / "data.yaml").write_bytes(content)


def _write_yolo(folder: Path, description: Mapping[str, Any]) -> None:
    (folder / "labels").mkdir()
    for number in range(1, COUNT + 1):
        (folder / f"labels/labels_{number:03}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.6\n1 0.6 0.6 0.9 0.6 0.7 0.9\n")
    (folder / "data.yaml").write_text(yaml.safe_dump(dict(description)))


def measure(file: HostileFile) -> None:
    """Measure predictions that anybody may have written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_coco(folder / "images", folder / "labels.json", COUNT, HW)
        dataset = CocoDataset(folder / "images", folder / "labels.json")
        (folder / "found.json").write_bytes(file.content)
        found = read_predictions(folder / "found.json", dataset)
        kind = "bbox" if found and "segmentation" not in found[0] else "segm"
        coco_metrics(dataset, found, kind)


def _json(whole: Any) -> SearchStrategy[HostileFile]:
    content = as_bytes(whole)
    return st.one_of(
        changed(whole).map(lambda value: HostileFile("changed", as_bytes(value))),
        mutated([HostileFile("whole", content)]),
    )


def _predictions() -> list[dict[str, Any]]:
    return [{**one, "score": 0.5} for one in _coco()["annotations"]]


def _yolo_labels() -> SearchStrategy[HostileFile]:
    words = st.sampled_from(["0", "1", "0.5", "-1", "nan", "inf", "1e999", "7", "x", "", "\0", "0.25", "9" * 400])
    lines = st.lists(st.lists(words, max_size=9).map(" ".join), max_size=4)
    return lines.map(lambda found: HostileFile("labels", "\n".join(found).encode()))


def _yolo_yaml() -> SearchStrategy[HostileFile]:
    whole = {"path": ".", "train": "images", "val": "images", "nc": 2, "names": {0: "square", 1: "bar"}}
    dumped = changed(whole).map(lambda value: yaml.dump(value).encode())
    return dumped.map(lambda content: HostileFile("data.yaml", content))


def _broken_masks() -> list[HostileFile]:
    """Masks on which pycocotools crashes, or takes gigabytes."""
    segmentations: list[Any] = [
        {"size": [0, 90], "counts": "0"},
        {"size": [60, 90], "counts": "oooo"},
        {"size": [60, 90], "counts": [2**31, 2**31]},
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float("nan"), 0, 5, 5]],
    ]
    first, *others = _coco()["annotations"]
    contents = [{**_coco(), "annotations": [{**first, "segmentation": each}, *others]} for each in segmentations]
    return [HostileFile(f"mask {number}", as_bytes(content)) for number, content in enumerate(contents)]


def _known_entries() -> list[HostileFile]:
    contents = []
    for key in ("images", "categories"):
        for field in ("id", "file_name", "name", "width"):
            first, *others = _coco()[key]
            if field in first:
                contents += [{**_coco(), key: [{**first, field: value}, *others]} for value in VALUES[::5]]
    return [HostileFile("entry", as_bytes(content)) for content in contents]


TARGETS = (
    Target(
        "coco",
        "annotations",
        _json(_coco()),
        partial(_in_folder, _place_coco),
        known=_broken_masks() + _known_entries(),
    ),
    Target(
        "labelme",
        "annotations",
        _json(json.loads(_labelme())),
        partial(_in_folder, _place_labelme),
    ),
    Target("yolo-labels", "annotations", _yolo_labels(), partial(_in_folder, _place_yolo_labels), examples=40),
    Target("yolo-yaml", "annotations", _yolo_yaml(), partial(_in_folder, _place_yolo_yaml), examples=40),
    Target("predictions", "annotations", _json(_predictions()), measure),
)
