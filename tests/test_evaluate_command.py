import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from threadpoolctl import threadpool_info, threadpool_limits

from solov2.checkpoints.checkpoint import save_checkpoint
from solov2.data.coco_dataset import CocoDataset
from solov2.data.segmentations import mask_code
from solov2.errors import DatasetError
from solov2.evaluate import main
from solov2.evaluation.evaluate_run import predictions, shared_classes
from solov2.evaluation.metrics import METRICS, coco_metrics
from solov2.instances import Instances
from solov2.network.model import SOLOv2
from solov2.runtime.torch_predictor import TorchPredictor
from tests.fake_dataset import write_coco
from tests.made_nano import made_nano


@pytest.fixture
def annotations_file(tmp_path: Path) -> Path:
    """Four pictures, with every third instance a crowd."""
    path = tmp_path / "truth.json"
    content = write_coco(tmp_path / "pictures", path)
    for annotation in content["annotations"]:
        left, top, right, _, _, bottom = annotation["segmentation"][0][:6]
        annotation["bbox"] = [left, top, right - left, bottom - top]
        annotation["area"] = float((right - left) * (bottom - top))
        annotation["iscrowd"] = int(annotation["id"] % 3 == 0)
        if annotation["iscrowd"]:
            code = mask_code(annotation["segmentation"], (96, 128))
            annotation["segmentation"] = {"size": [96, 128], "counts": code["counts"].decode()}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def dataset(tmp_path: Path, annotations_file: Path) -> CocoDataset:
    return CocoDataset(tmp_path / "pictures", annotations_file)


@pytest.fixture(scope="module")
def eager_model() -> SOLOv2:
    """An untrained model that finds some dozens of things in every picture."""
    return made_nano(("bar", "cat", "square")).requires_grad_(False)


def as_predictions(dataset: CocoDataset) -> list[dict[str, Any]]:
    """The ground truth as if a model had found it."""
    found = []
    for annotation in dataset.annotations:
        code = mask_code(annotation["segmentation"], (96, 128))
        counts = code["counts"] if isinstance(code["counts"], str) else code["counts"].decode()
        found.append(
            {
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "segmentation": {"size": [96, 128], "counts": counts},
                "score": 0.9,
            }
        )
    return found


def random_detections(dataset: CocoDataset) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "bbox": [float(side * rng.uniform(0.8, 1.2)) for side in annotation["bbox"]],
            "score": float(rng.random()),
        }
        for annotation in dataset.annotations
        for _ in range(3)
    ]


def pycocotools_figures(annotations_file: Path, results: Path, kind: str, category: int | None = None) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations_file))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), kind)
        if category is not None:
            evaluation.params.catIds = [category]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_the_ground_truth_as_predictions_has_an_ap_of_1_crowds_included(dataset: CocoDataset, kind: str) -> None:
    figures = coco_metrics(dataset, as_predictions(dataset), kind)
    assert figures["AP"] == figures["AR100"] == 1.0
    assert [values["AP"] for values in figures["classes"].values()] == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_random_boxes_have_the_figures_that_pycocotools_gives_them(
    dataset: CocoDataset, kind: str, tmp_path: Path
) -> None:
    found = random_detections(dataset)
    results = tmp_path / "boxes.json"
    results.write_text(json.dumps(found))
    figures = coco_metrics(dataset, found, kind)
    assert 0 < figures["AP"] < 1
    assert [figures[name] for name in METRICS] == pycocotools_figures(dataset.annotations_file, results, kind)
    for name, category in (("square", 3), ("bar", 7)):
        expected = pycocotools_figures(dataset.annotations_file, results, kind, category)
        assert [figures["classes"][name][metric] for metric in METRICS] == expected


def test_the_order_of_the_classes_does_not_mix_up_their_figures(dataset: CocoDataset) -> None:
    squares = [found for found in as_predictions(dataset) if found["category_id"] == 3]
    figures = coco_metrics(dataset.with_classes(["bar", "square"]), squares)
    assert {name: values["AP"] for name, values in figures["classes"].items()} == {"bar": 0.0, "square": 1.0}


def test_a_category_that_is_not_measured_does_not_count(dataset: CocoDataset) -> None:
    squares = [found for found in as_predictions(dataset) if found["category_id"] == 3]
    assert coco_metrics(dataset.with_classes(["square"]), squares)["AP"] == 1.0


def test_a_masks_size_counts_even_where_a_prediction_has_a_box_too(dataset: CocoDataset) -> None:
    found = as_predictions(dataset)
    with_boxes = [{**one, "bbox": [0.0, 0.0, 128.0, 96.0]} for one in found]
    assert coco_metrics(dataset, with_boxes) == coco_metrics(dataset, found)


def test_the_box_of_a_mask_is_the_smallest_around_it(dataset: CocoDataset) -> None:
    found = as_predictions(dataset)
    boxes = {(a["image_id"], a["category_id"]): a["bbox"] for a in dataset.annotations}
    boxed = [{**one, "bbox": boxes[one["image_id"], one["category_id"]]} for one in found]
    assert coco_metrics(dataset, boxed, "bbox") == coco_metrics(dataset, found, "bbox")


def test_areas_boxes_and_ids_that_the_annotations_lack_are_filled_in(dataset: CocoDataset) -> None:
    complete = coco_metrics(dataset, random_detections(dataset))
    found = random_detections(dataset)
    for annotation in dataset.annotations:
        for key in ("id", "area", "bbox"):
            del annotation[key]
    assert coco_metrics(dataset, found) == complete


def test_the_ids_of_a_file_that_counts_from_zero_or_repeats_itself_change_nothing(dataset: CocoDataset) -> None:
    complete = coco_metrics(dataset, as_predictions(dataset))
    found = as_predictions(dataset)
    for ids in (range(len(dataset.annotations)), [7] * len(dataset.annotations), map(str, range(100))):
        for annotation, annotation_id in zip(dataset.annotations, ids, strict=False):
            annotation["id"] = annotation_id
        assert coco_metrics(dataset, found) == complete
    assert complete["AP"] == 1.0


def test_a_picture_of_another_size_than_its_annotations_is_not_measured(
    dataset: CocoDataset, eager_model: SOLOv2
) -> None:
    dataset.images[1]["width"] = 50
    with pytest.raises(DatasetError, match=r"is 128x96, but .* says 50x96"):
        predictions(TorchPredictor(eager_model), dataset)


def test_finding_nothing_gives_zero(dataset: CocoDataset) -> None:
    figures = coco_metrics(dataset, [])
    assert figures["AP"] == figures["AR100"] == figures["classes"]["bar"]["AP50"] == 0.0


def test_measuring_leaves_predictions_and_annotations_as_they_were(dataset: CocoDataset) -> None:
    found = random_detections(dataset)
    before = json.dumps([found, dataset.annotations])
    coco_metrics(dataset, found)
    assert json.dumps([found, dataset.annotations]) == before


def test_predictions_are_the_same_in_batches_of_any_size(dataset: CocoDataset) -> None:
    # In 64 bits: in 32, rounding may move a pixel of a mask across the threshold, which changes the mean of its others.
    model = made_nano(("bar", "cat", "square")).requires_grad_(False).double()
    predictor = TorchPredictor(model)
    one_by_one = predictions(predictor, dataset, show_progress=False)
    assert one_by_one
    assert [one["image_id"] for one in one_by_one] == sorted(one["image_id"] for one in one_by_one)
    by_three = predictions(predictor, dataset, batch_size=3, show_progress=False)
    for key in ("category_id", "segmentation"):
        assert [one[key] for one in by_three] == [one[key] for one in one_by_one]
    assert [one["score"] for one in by_three] == pytest.approx([one["score"] for one in one_by_one], abs=1e-6)


def test_the_threads_of_other_libraries_stay_as_they_are_while_a_model_is_evaluated(
    dataset: CocoDataset, eager_model: SOLOv2, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    rle = Instances.rle

    def watched(instances: Instances) -> list[dict[str, Any]]:
        seen.extend(blas_threads())
        return rle(instances)

    monkeypatch.setattr(Instances, "rle", watched)
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        predictions(TorchPredictor(eager_model), dataset, show_progress=False)
        assert blas_threads() == before
    assert set(seen) == set(before) == {2}


def test_only_categories_that_both_know_are_measured_and_the_others_are_named(
    dataset: CocoDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shared_classes(["cat", "bar"], dataset) == ["bar"]
    said = capsys.readouterr().err
    assert "left out: 1 categories that the model does not know: square" in said
    assert "left out: 1 classes of the model that the file lacks: cat" in said


def test_the_command_measures_a_model_and_its_predictions_can_be_measured_again(
    dataset: CocoDataset, eager_model: SOLOv2, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.safetensors"
    save_checkpoint(weights, eager_model.state_dict(), "nano", eager_model.class_names)
    truth = ("--annotations", dataset.annotations_file)
    first, again, found = tmp_path / "out" / "first.json", tmp_path / "again.json", tmp_path / "found.json"
    given = ("--images", dataset.images_folder, "--device", "cpu", "--out", first, "--predictions", found)
    assert run("--model", weights, *given, *truth) == 0
    output = capsys.readouterr()
    assert "4/4" in output.err
    assert "left out: 1 classes of the model that the file lacks: cat" in output.err
    assert run("--from-predictions", found, "--out", again, *truth) == 0
    metrics = json.loads(first.read_text())
    assert json.loads(again.read_text()) == metrics
    assert pycocotools_figures(dataset.annotations_file, found, "segm") == [metrics["masks"][name] for name in METRICS]
    assert capsys.readouterr().out == output.out


def test_the_table_shows_percent_for_masks_boxes_and_classes(
    dataset: CocoDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "found.json"
    found.write_text(json.dumps([one for one in as_predictions(dataset) if one["category_id"] == 3]))
    run("--from-predictions", found, "--annotations", dataset.annotations_file)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == list(METRICS)
    shown = {row[:10].strip(): row[10:].split() for row in rows}
    assert {title: values[0] for title, values in shown.items()} == {
        "all masks": "50.0",
        "all boxes": "50.0",
        "square": "100.0",
        "bar": "0.0",
    }
    assert {len(values) for values in shown.values()} == {len(METRICS)}


SQUARE = '"image_id": 1, "category_id": 3'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "must hold a list of predictions, got dict"),
        ("[7]", "prediction 0 must be an object, got 7"),
        ('[{"image_id": 1, "score": 1, "segmentation": {}}]', "prediction 0 has no category_id"),
        (f'[{{{SQUARE}, "score": 1}}]', "prediction 0 has no segmentation"),
        ('[{"image_id": 99, "category_id": 3, "score": 1, "bbox": [0, 0, 1, 1]}]', "is of image 99, which .* lack"),
        (f'[{{{SQUARE}, "score": "high", "bbox": [0, 0, 1, 1]}}]', "must have a number as its score, got 'high'"),
        (f'[{{{SQUARE}, "score": NaN, "bbox": [0, 0, 1, 1]}}]', "must have a number as its score, got nan"),
        (f'[{{{SQUARE}, "score": 1, "bbox": [0, 0, 1]}}]', r"must have \[left, top, width, height\] as its bbox"),
        (f'[{{{SQUARE}, "score": 1, "segmentation": "x"}}]', "has neither polygons nor a run-length code, but 'x'"),
        (
            f'[{{{SQUARE}, "score": 1, "segmentation": {{"size": [9, 8], "counts": "T3"}}}}]',
            "has a broken mask: a run-length code must be of 96 rows and 128 columns, got 9 and 8",
        ),
    ],
)
def test_predictions_that_cannot_be_measured_are_one_line(
    content: str, message: str, annotations_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "found.json"
    found.write_text(content)
    assert run("--from-predictions", found, "--annotations", annotations_file) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said)


def test_polygons_and_uncompressed_codes_are_measured_as_masks(dataset: CocoDataset, tmp_path: Path) -> None:
    def figures(segmentation: Any) -> Any:
        one = {"image_id": 1, "category_id": 3, "score": 0.5, "segmentation": segmentation}
        found, written = tmp_path / "found.json", tmp_path / "written.json"
        found.write_text(json.dumps([one]))
        truth = ("--annotations", dataset.annotations_file)
        assert run("--from-predictions", found, "--predictions", written, *truth) == 0
        return json.loads(written.read_text())

    left, top, right, bottom = 8, 16, 40, 48
    polygon = [left, top, right, top, right, bottom, left, bottom]
    plane = np.zeros((96, 128), np.uint8)
    plane[top:bottom, left:right] = 1
    flat = np.flatnonzero(np.diff(plane.T.ravel(), prepend=0, append=0))
    counts = np.diff(flat, prepend=0, append=plane.size).tolist()
    assert figures([polygon]) == figures({"size": [96, 128], "counts": counts})


def test_predictions_of_categories_that_the_file_lacks_are_counted(
    dataset: CocoDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "found.json"
    found.write_text(json.dumps([*as_predictions(dataset), {**as_predictions(dataset)[0], "category_id": 77}]))
    assert run("--from-predictions", found, "--annotations", dataset.annotations_file) == 0
    assert re.search(r"left out: 1 predictions of categories .* such as category_id 77$", capsys.readouterr().err)


def test_a_file_that_cannot_be_written_is_told_before_the_model_runs(
    dataset: CocoDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_model = tmp_path / "no_model.pth"
    no_model.write_bytes(b"")
    given = ("--model", no_model, "--images", dataset.images_folder, "--annotations", dataset.annotations_file)
    for option in ("--out", "--predictions"):
        assert run(*given, option, tmp_path) == 2
        assert capsys.readouterr().err == f"error: {tmp_path} is a folder: name a file in it\n"
        assert run(*given, option, dataset.annotations_file / "x.json") == 2
        assert "could not write" in capsys.readouterr().err


def test_a_missing_picture_is_one_line(
    dataset: CocoDataset, eager_model: SOLOv2, capfd: pytest.CaptureFixture[str]
) -> None:
    (dataset.images_folder / dataset.images[0]["file_name"]).unlink()
    with pytest.raises(DatasetError, match="could not read"):
        predictions(TorchPredictor(eager_model), dataset, show_progress=False)
    assert capfd.readouterr().err == ""


def test_a_broken_mask_of_the_ground_truth_is_a_users_error(dataset: CocoDataset) -> None:
    dataset.annotations[0]["segmentation"] = [["a"] * 6]
    with pytest.raises(DatasetError, match="not a COCO segmentation"):
        coco_metrics(dataset, as_predictions(dataset)[3:])


def test_a_model_without_a_class_in_common_is_a_users_error(
    dataset: CocoDataset, eager_model: SOLOv2, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.safetensors"
    save_checkpoint(weights, eager_model.state_dict(), "nano", ("a", "b", "c"))
    arguments = ("--images", dataset.images_folder, "--annotations", dataset.annotations_file)
    assert run("--model", weights, "--device", "cpu", *arguments) == 2
    assert "have no class name in common: the model knows a, b, c, the file square, bar" in capsys.readouterr().err


def test_a_model_needs_pictures(annotations_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "nano", "--annotations", annotations_file) == 2
    assert "--model needs --images DIR" in capsys.readouterr().err
