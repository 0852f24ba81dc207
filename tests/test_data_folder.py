import base64
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from solov2.data.coco_dataset import CocoDataset
from solov2.data.data_folder import DataFolder, read_data_folder
from solov2.errors import DatasetError
from tests.fake_dataset import CLASS_NAMES, Box, random_boxes, write_coco, write_picture

SIZE_HW = (96, 128)


def dataset_of(content: dict[str, Any], folder: Path, tmp_path: Path) -> CocoDataset:
    path = tmp_path / "content.json"
    path.write_text(json.dumps(content))
    return CocoDataset(folder, path)


def write_yolo(root: Path, splits: Sequence[str] = ("train", "val"), yaml: str | None = None) -> dict[str, list[Box]]:
    """Two pictures a split; returns the boxes of each picture."""
    rng = np.random.default_rng(0)
    boxes_of = {}
    for split in splits:
        for number in range(2):
            boxes = boxes_of[f"{split}{number}"] = random_boxes(rng, SIZE_HW)
            write_picture(root / "images" / split / f"{split}{number}.png", SIZE_HW, boxes, rng)
            scale = np.tile([SIZE_HW[1], SIZE_HW[0]], 4)
            lines = [f"{box.label} " + " ".join(map(str, box.polygon / scale)) for box in boxes]
            labels = root / "labels" / split / f"{split}{number}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("\n".join(lines) + "\n")
    paths = "".join(f"{split}: images/{split}\n" for split in splits)
    (root / "data.yaml").write_text(yaml or f"{paths}names: [square, bar]\n")
    return boxes_of


def write_labelme(folder: Path, name: str, shapes: Sequence[dict[str, Any]], **changes: Any) -> None:
    write_picture(folder / f"{name}.png", SIZE_HW, [], np.random.default_rng(0))
    content = {"imagePath": f"{name}.png", "imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1], "shapes": shapes}
    (folder / f"{name}.json").write_text(json.dumps(content | changes))


def polygon(label: str, *points: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon", "group_id": None} | more


def rectangle_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


SQUARE = polygon("square", (10, 10), (50, 10), (50, 50), (10, 50))


def test_a_yolo_folder_has_the_masks_that_its_polygons_enclose(tmp_path: Path) -> None:
    boxes_of = write_yolo(tmp_path / "set")
    read = read_data_folder(tmp_path / "set")
    assert (read.kind, len(read.train["images"]), len(read.validation["images"])) == ("YOLO", 2, 2)
    dataset = dataset_of(read.validation, tmp_path / "set", tmp_path)
    assert dataset.class_names == CLASS_NAMES
    for index, name in enumerate(("val0", "val1")):
        sample = dataset.sample(index)
        assert sample.labels.tolist() == [0, 1]
        for mask, box in zip(sample.masks, boxes_of[name], strict=True):
            assert np.array_equal(mask, rectangle_mask(box.left, box.top, box.right, box.bottom))


def test_boxes_alone_are_read_as_masks_of_the_whole_box_that_are_none(tmp_path: Path) -> None:
    write_yolo(tmp_path / "yolo")
    (tmp_path / "yolo/labels/train/train0.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    sample = dataset_of(read_data_folder(tmp_path / "yolo").train, tmp_path / "yolo", tmp_path).sample(0)
    height, width = sample.image.shape[:2]
    assert sample.has_mask.tolist() == [False, True]
    box = (width * 3 // 8, height // 4, width * 5 // 8, height * 3 // 4)
    assert np.array_equal(sample.masks[0], rectangle_mask(*box))

    content = write_coco(tmp_path / "coco/images", tmp_path / "coco/labels.json")
    outlined = content["annotations"][1]["segmentation"]
    for annotation in content["annotations"]:
        annotation["segmentation"] = outlined if annotation is content["annotations"][1] else []
        annotation["bbox"] = [10, 5, 20, 30]
    (tmp_path / "coco/labels.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path / "coco/images", tmp_path / "coco/labels.json", accept_boxes=True)
    assert dataset.box_count == len(content["annotations"]) - 1
    first = dataset.sample(0)
    assert first.has_mask.tolist()[0] is False
    assert first.masks[0].sum() == 20 * 30
    read = read_data_folder(tmp_path / "coco")
    assert sum(len(part["annotations"]) for part in (read.train, read.validation)) == len(content["annotations"])


def test_a_yolo_picture_without_labels_shows_nothing(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels/train/train0.txt").unlink()
    (tmp_path / "labels/val/val0.txt").write_text("\n")
    read = read_data_folder(tmp_path)
    assert {annotation["image_id"] for annotation in read.train["annotations"]} == {2}
    assert {annotation["image_id"] for annotation in read.validation["annotations"]} == {2}


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../images/train\nval: ../images/val\nnames: {0: square, 1: bar}\n",
        "path: /on/another/machine\ntrain: images/train\nval: [images/val]\nnames: [square, bar]\n",
        "train: train.txt\nval: images/val\nnames: [square, bar]\nnc: 2\n",
    ],
)
def test_yolo_paths_are_found_as_tools_write_them(tmp_path: Path, yaml: str) -> None:
    write_yolo(tmp_path, yaml=yaml)
    (tmp_path / "train.txt").write_text("images/train/train0.png\n./images/train/train1.png\n")
    read = read_data_folder(tmp_path)
    assert [image["file_name"] for image in read.train["images"]] == [
        "images/train/train0.png",
        "images/train/train1.png",
    ]
    assert len(read.validation["annotations"]) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", r"train0.txt, line 2: a box needs four numbers and a polygon three or more"),
        ("0 0.1 0.1 0.2 0.2 0.3", r"train0.txt, line 2: a box needs four .* x, y pairs, got 5 numbers"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2", r"line 2: class 7 is not one of the 2"),
        ("0 0.1 0.1 20 0.1 0.2 0.2", r"line 2: coordinates must be shares of the picture's width and height"),
        ("0 0.1 nan 0.2 0.1 0.2 0.2", r"line 2: coordinates must be shares"),
        ("square 0.1 0.1 0.2 0.1 0.2 0.2", r"line 2: not numbers: 'square"),
    ],
)
def test_a_broken_yolo_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels/train/train0.txt").write_text(f"0 0.1 0.1 0.2 0.1 0.2 0.2\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        read_data_folder(tmp_path)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [a\n", r"data.yaml is not YAML: expected ',' or '\]', but got '<stream end>' in line 2"),
        ("names: {1: a}\n", "names must be a list"),
        ("names: [a]\ntrain: nowhere\n", "names nowhere, which is not in"),
        ("names: [a]\ntrain: labels\n", "names labels, where there are no pictures"),
    ],
)
def test_a_broken_yaml_file_is_one_line(tmp_path: Path, yaml: str, message: str) -> None:
    write_yolo(tmp_path, yaml=yaml)
    with pytest.raises(DatasetError, match=message) as raised:
        read_data_folder(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("inside", [1, 255])
def test_a_labelme_folder_has_the_masks_of_all_shapes(tmp_path: Path, inside: int) -> None:
    png = cv2.imencode(".png", np.full((20, 30), inside, np.uint8))[1].tobytes()  # LabelMe itself writes ones
    shapes = [
        SQUARE,
        polygon("bar", (60, 20), (90, 40), shape_type="rectangle"),
        polygon("disc", (64, 48), (64, 68), shape_type="circle"),
        polygon("patch", (5, 60), (34, 79), shape_type="mask", mask=base64.b64encode(png).decode()),
    ]
    write_labelme(tmp_path / "set", "a", shapes)
    write_labelme(tmp_path / "set" / "val", "b", [])
    read = read_data_folder(tmp_path / "set")
    assert read.kind == "LabelMe"
    sample = dataset_of(read.train, tmp_path / "set", tmp_path).sample(0)
    names = [category["name"] for category in read.train["categories"]]
    masks = {names[label]: mask for label, mask in zip(sample.labels, sample.masks, strict=True)}
    assert np.array_equal(masks["square"], rectangle_mask(10, 10, 50, 50))
    assert np.array_equal(masks["bar"], rectangle_mask(60, 20, 90, 40))
    assert np.array_equal(masks["patch"], rectangle_mask(5, 60, 35, 80))
    assert masks["disc"].sum() == pytest.approx(np.pi * 20**2, rel=0.03)


def test_labelme_shapes_of_one_group_are_one_instance(tmp_path: Path) -> None:
    left = polygon("square", (0, 0), (20, 0), (20, 20), (0, 20), group_id=1)
    right = polygon("square", (60, 0), (80, 0), (80, 20), (60, 20), group_id=1)
    write_labelme(tmp_path / "set", "a", [left, right, SQUARE])
    write_labelme(tmp_path / "set" / "val", "b", [])
    sample = dataset_of(read_data_folder(tmp_path / "set").train, tmp_path / "set", tmp_path).sample(0)
    assert [int(mask.sum()) for mask in sample.masks] == [800, 1600]


def test_labelme_from_windows_finds_its_pictures(tmp_path: Path) -> None:
    write_labelme(tmp_path / "labels", "a", [SQUARE], imagePath="..\\images\\a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels" / "a.png").rename(tmp_path / "images" / "a.png")
    write_labelme(tmp_path / "val", "b", [SQUARE], imagePath="C:\\elsewhere\\b.png")
    read = read_data_folder(tmp_path)
    assert read.train["images"][0]["file_name"] == "images/a.png"
    assert read.validation["images"][0]["file_name"] == "val/b.png"


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        (polygon("x", (1, 1), (5, 5), shape_type="line"), {}, "shape 0 'x': a line of 2 points encloses nothing"),
        (polygon("x", (1, 1), (5, 5)), {}, "a polygon of 2 points encloses nothing"),
        (polygon("x", (1, 1), (5, 5), shape_type="mask", mask="AAAA"), {}, "shape 0 'x': its mask is not a PNG"),
        ({"points": []}, {}, "shape 0 has no label"),
        (SQUARE, {"imageHeight": 50}, "says that a.png is of 128x50 pixels, but it has 128x96"),
        (SQUARE, {"imagePath": "gone.jpg"}, None),
    ],
)
def test_a_broken_labelme_file_is_named(
    tmp_path: Path, shape: dict[str, Any], changes: dict[str, Any], message: str | None
) -> None:
    write_labelme(tmp_path, "a", [shape], **changes)
    write_labelme(tmp_path, "b", [SQUARE])
    if message is None:
        (tmp_path / "a.png").unlink()
        message = "a.json names 'gone.jpg', and there is no such picture"
    with pytest.raises(DatasetError, match=message) as raised:
        read_data_folder(tmp_path)
    assert "a.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_coco_folder_is_found_by_the_words_of_its_paths(tmp_path: Path) -> None:
    for part in ("train2017", "val2017", "test2017"):
        write_coco(tmp_path / part, tmp_path / "annotations" / f"instances_{part}.json", count=2)
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    read = read_data_folder(tmp_path)
    assert read.kind == "COCO"
    assert read.train["images"][0]["file_name"] == "train2017/instances_train2017_001.png"
    assert read.validation["images"][1]["file_name"] == "val2017/instances_val2017_002.png"


def test_a_coco_folder_as_labelling_services_export_it_is_read(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        content = write_coco(tmp_path / part, tmp_path / part / "_annotations.coco.json", count=2)
        content["categories"].insert(0, {"id": 0, "name": "shapes", "supercategory": "none"})
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(content))
    read = read_data_folder(tmp_path)
    assert read.train["images"][0]["file_name"] == "train/_annotations.coco_001.png"
    assert [category["name"] for category in read.train["categories"]] == ["square", "bar"]


def test_a_category_that_validation_lacks_is_added_to_it(tmp_path: Path) -> None:
    write_coco(tmp_path / "train", tmp_path / "train.json", count=2)
    content = write_coco(tmp_path / "val", tmp_path / "val.json", count=2)
    content["categories"] = [{"id": 5, "name": "bar"}]
    content["annotations"] = [{**one, "category_id": 5} for one in content["annotations"] if one["category_id"] == 7]
    (tmp_path / "val.json").write_text(json.dumps(content))
    read = read_data_folder(tmp_path)
    assert {category["name"]: category["id"] for category in read.validation["categories"]} == {"bar": 5, "square": 6}
    assert {annotation["category_id"] for annotation in read.validation["annotations"]} == {5}


def break_picture(folder: Path, content: dict[str, Any]) -> None:
    (folder / "images" / content["images"][2]["file_name"]).write_text("no picture")


def remove_picture(folder: Path, content: dict[str, Any]) -> None:
    (folder / "images" / content["images"][2]["file_name"]).unlink()


def without_mask_or_right_box(folder: Path, content: dict[str, Any]) -> None:
    content["annotations"][3] |= {"segmentation": [], "bbox": [1, 2, 3]}


def of_nothing(folder: Path, content: dict[str, Any]) -> None:
    content["annotations"][3]["image_id"] = 77


def of_no_category(folder: Path, content: dict[str, Any]) -> None:
    content["annotations"][3]["category_id"] = 77


def with_a_point(folder: Path, content: dict[str, Any]) -> None:
    content["annotations"][3]["segmentation"] = [[5, 5, 6, 6]]


def without_width(folder: Path, content: dict[str, Any]) -> None:
    del content["images"][2]["width"]


def of_other_size(folder: Path, content: dict[str, Any]) -> None:
    content["images"][2]["width"] = 50


def named_twice(folder: Path, content: dict[str, Any]) -> None:
    content["categories"][1]["name"] = "square"


def numbered_twice(folder: Path, content: dict[str, Any]) -> None:
    content["images"][1]["id"] = content["images"][0]["id"]


def of_the_same_category(folder: Path, content: dict[str, Any]) -> None:
    content["categories"][1]["id"] = content["categories"][0]["id"]


def of_no_size(folder: Path, content: dict[str, Any]) -> None:
    content["images"][2]["height"] = "tall"


def with_a_number_for_a_category(folder: Path, content: dict[str, Any]) -> None:
    content["categories"].append(5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_picture, "labels_003.png is not a picture that can be read"),
        (remove_picture, "labels.json names labels_003.png, which is not in .*images"),
        (without_mask_or_right_box, "labels.json: entry 3 of annotations, on labels_002.png, has no mask, only a box"),
        (of_nothing, "entry 3 of annotations is of image 77, which is not listed"),
        (of_no_category, "entry 3 of annotations is of category 77, which is not listed"),
        (with_a_point, r"entry 3 .* has a polygon that is not three or more x, y pairs: \[5, 5, 6, 6\]"),
        (without_width, "labels.json: entry 2 of images has no width"),
        (of_other_size, "labels.json says that labels_003.png is of 50x96 pixels, but it has 128x96"),
        (named_twice, "labels.json has two categories called 'square'"),
        (numbered_twice, r"labels.json has two images with the id \d+\. Give each a number of its own"),
        (of_the_same_category, r"labels.json has two categories with the id \d+\. Give each a number of its own"),
        (of_no_size, "labels.json: entry 2 of images must have whole numbers as height and width"),
        (with_a_number_for_a_category, "labels.json: entry 2 of categories has no id, name"),
    ],
)
def test_a_broken_coco_entry_is_named(
    tmp_path: Path, damage: Callable[[Path, dict[str, Any]], None], message: str
) -> None:
    content = write_coco(tmp_path / "images", tmp_path / "labels.json")
    damage(tmp_path, content)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        read_data_folder(tmp_path)


def test_other_json_files_beside_a_coco_file_are_not_minded(tmp_path: Path) -> None:
    write_coco(tmp_path / "set" / "images", tmp_path / "set" / "annotations" / "instances.json")
    (tmp_path / "set" / "annotations" / "classes.json").write_text('["square", "bar"]')
    (tmp_path / "set" / "__MACOSX").mkdir()
    (tmp_path / "set" / "__MACOSX" / "._instances.json").write_bytes(b"\x00\x05\x16\x07\xff")
    assert read_data_folder(tmp_path / "set").kind == "COCO"


def test_files_that_windows_programs_write_are_read(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco" / "images", tmp_path / "coco" / "instances.json")
    file = tmp_path / "coco" / "instances.json"
    file.write_text("\ufeff" + file.read_text(), encoding="utf-8")
    assert read_data_folder(tmp_path / "coco").kind == "COCO"


def test_two_files_for_training_are_refused(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_coco(tmp_path / "images", tmp_path / f"{name}.json")
    with pytest.raises(DatasetError, match=r"several annotation files for train: first\.json, second\.json"):
        read_data_folder(tmp_path)


def held_back_names(read: DataFolder) -> set[str]:
    return {image["file_name"] for image in read.validation["images"]}


def test_a_folder_without_validation_holds_the_same_pictures_back_each_time(tmp_path: Path) -> None:
    content = write_coco(tmp_path / "images", tmp_path / "labels.json", count=10)
    first = read_data_folder(tmp_path)
    assert (len(first.train["images"]), len(first.validation["images"])) == (8, 2)
    assert len(first.train["annotations"]) + len(first.validation["annotations"]) == len(content["annotations"])
    content["images"].reverse()
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert held_back_names(read_data_folder(tmp_path)) == held_back_names(first)
    train_names = {image["file_name"] for image in first.train["images"]}
    assert not train_names & held_back_names(first)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    write_coco(tmp_path / "images", tmp_path / "labels.json", count=1)
    with pytest.raises(DatasetError, match="one labelled picture; two are the least"):
        read_data_folder(tmp_path)


def test_a_folder_without_labels_says_what_is_known(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", SIZE_HW, [], np.random.default_rng(0))
    with pytest.raises(DatasetError, match=re.escape("COCO's JSON, YOLO's data.yaml, or LabelMe's JSON")):
        read_data_folder(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        read_data_folder(tmp_path / "gone")


def test_pictures_without_any_instance_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_labelme(tmp_path, name, [])
    with pytest.raises(DatasetError, match="has a labelled instance"):
        read_data_folder(tmp_path)


@pytest.mark.parametrize("layout", ["yolo", "labelme", "coco"])
def test_pictures_that_a_camera_turned_are_read_as_they_were_labelled(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("a", "b"):
        stored = Image.new("RGB", (60, 40))
        stored.paste((255, 0, 0), (0, 0, 30, 40))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise: seen, it is 40 wide and 60 high, red above
        stored.save(folder / f"{name}.jpg", exif=exif)
        size = {"imageHeight": 60, "imageWidth": 40}
        shape = polygon("red", (0, 0), (40, 0), (40, 30), (0, 30))
        if layout == "labelme":
            (folder / f"{name}.json").write_text(json.dumps({"imagePath": f"{name}.jpg", "shapes": [shape], **size}))
        (folder / f"{name}.txt").write_text("0 0 0 1 0 1 0.5 0 0.5\n")
    if layout == "yolo":
        (folder / "data.yaml").write_text("train: .\nnames: [red]\n")
    if layout == "coco":
        names = ("a.jpg", "b.jpg")
        images = [{"id": i, "file_name": name, "width": 40, "height": 60} for i, name in enumerate(names)]
        segmentation = [[0, 0, 40, 0, 40, 30, 0, 30]]
        annotations = [{"image_id": i, "category_id": 1, "segmentation": segmentation} for i in range(2)]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "red"}]}
        (folder / "labels.json").write_text(json.dumps(content))
    sample = dataset_of(read_data_folder(folder).train, folder, tmp_path).sample(0)
    assert sample.image.shape == (60, 40, 3)
    red = sample.image[:, :, 0] > 128
    assert (red == sample.masks[0].astype(bool)).mean() > 0.95


def test_the_description_counts_what_there_is(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    assert str(read_data_folder(tmp_path)) == (
        "YOLO: 2 pictures to learn from with 4 instances, 2 to validate with 4; classes: square, bar"
    )
