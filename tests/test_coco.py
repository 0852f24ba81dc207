"""Reading COCO-format data."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solov2.data.coco_dataset import CocoDataset
from solov2.data.segmentations import mask_of
from solov2.errors import DatasetError, UnknownNameError
from tests.fake_dataset import COLOURS, write_coco

SIZE = (20, 30)
SQUARE = [4.0, 5.0, 12.0, 5.0, 12.0, 15.0, 4.0, 15.0]
OTHER = [20.0, 2.0, 28.0, 2.0, 28.0, 8.0, 20.0, 8.0]


def plane(*boxes: tuple[int, int, int, int]) -> Any:
    """A mask of `SIZE` with xyxy boxes set."""
    mask = np.zeros(SIZE, np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def runs(mask: Any) -> list[int]:
    """The uncompressed run lengths of a mask: zeros first, down the columns."""
    flat = mask.flatten("F").tolist()
    lengths, value = [0], 0
    for pixel in flat:
        if pixel != value:
            lengths.append(0)
            value = pixel
        lengths[-1] += 1
    return lengths


def compressed(mask: Any) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(SIZE), "counts": code["counts"].decode()}


TWO_PARTS = plane((4, 5, 12, 15), (20, 2, 28, 8))


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ([SQUARE], plane((4, 5, 12, 15))),
        ([SQUARE, OTHER], TWO_PARTS),
        ({"size": list(SIZE), "counts": runs(TWO_PARTS)}, TWO_PARTS),
        (compressed(TWO_PARTS), TWO_PARTS),
        ({"size": list(SIZE), "counts": [600]}, plane()),
    ],
    ids=["polygon", "two polygons", "uncompressed", "compressed", "empty"],
)
def test_every_form_of_segmentation_gives_its_mask(segmentation: Any, expected: Any) -> None:
    mask = mask_of(segmentation, SIZE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


NO_POLYGONS: tuple[Any, ...] = (None, 5, "text", [], {}, SQUARE[:-1], [0, 0, 5, 5], ["1"] * 6, [None] * 6, [[1]] * 6)


@pytest.mark.parametrize(
    "segmentation",
    [
        *(
            None,
            5,
            "text",
            [],
            {"size": [20, 30]},
            {"size": [20, 30], "counts": [5000]},
            {"size": [2, 2], "counts": "zz"},
        ),
        *([value] for value in NO_POLYGONS),
        *([[0, 0, 5, 0, value, 5]] for value in (math.nan, math.inf, -math.inf, 1e300, 10**400, 1e9, -1e9)),
        [[0, 0, 100, 100] * 30000],  # 150 bytes of memory a pixel of this outline
        [SQUARE, None],
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation: Any) -> None:
    with pytest.raises(DatasetError, match=r"^not a COCO segmentation: "):
        mask_of(segmentation, SIZE)


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Four pictures of a square and a bar each."""
    write_coco(tmp_path / "pictures", tmp_path / "train.json")
    return tmp_path / "train.json"


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def open_dataset(annotations: Path, class_names: list[str] | None = None) -> CocoDataset:
    return CocoDataset(annotations.parent / "pictures", annotations, class_names)


def test_a_sample_is_the_picture_in_rgb_with_a_mask_for_each_instance(annotations: Path) -> None:
    dataset = open_dataset(annotations)
    assert len(dataset) == 4
    assert (dataset.class_names, dataset.category_ids) == (("square", "bar"), (3, 7))
    for index in range(4):
        sample = dataset.sample(index)
        assert sample.image.shape == (96, 128, 3)
        assert sample.labels.tolist() == [0, 1]
        for mask, colour in zip(sample.masks, COLOURS, strict=True):
            np.testing.assert_array_equal((sample.image == colour).all(2), mask)


def test_classes_are_those_asked_for_in_that_order(annotations: Path) -> None:
    both = open_dataset(annotations, ["bar", "square"])
    assert both.category_ids == (7, 3)
    assert both.sample(0).labels.tolist() == [1, 0]
    bars = open_dataset(annotations, ["bar"])
    assert bars.sample(0).labels.tolist() == [0]
    np.testing.assert_array_equal(bars.sample(0).masks[0], both.sample(0).masks[1])
    with pytest.raises(UnknownNameError, match=r"^unknown class of train\.json 'bra'\. Did you mean 'bar'\?"):
        open_dataset(annotations, ["bra"])


def test_crowds_are_no_instances(annotations: Path) -> None:
    def crowd(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1

    assert open_dataset(changed(annotations, crowd)).sample(0).labels.tolist() == [1]


def test_a_picture_without_annotations_has_no_masks(annotations: Path) -> None:
    sample = open_dataset(changed(annotations, lambda content: content.update(annotations=[]))).sample(0)
    assert sample.masks.shape == (0, 96, 128)
    assert sample.labels.shape == (0,)


def test_a_missing_picture_is_named(annotations: Path) -> None:
    dataset = open_dataset(annotations)
    (annotations.parent / "pictures" / "train_002.png").unlink()
    with pytest.raises(DatasetError, match=r"^could not read .*train_002\.png, which .*train\.json names$"):
        dataset.sample(1)


def test_a_picture_of_another_size_is_named_with_both_sizes(annotations: Path) -> None:
    cv2.imwrite(str(annotations.parent / "pictures" / "train_003.png"), np.zeros((40, 50, 3), np.uint8))
    message = r"^train_003\.png is 50x40, but .*train\.json says 128x96$"
    with pytest.raises(DatasetError, match=message):
        open_dataset(annotations).sample(2)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"images": []}', '{"images": 1}'])
def test_a_file_of_another_kind_is_refused_in_one_line(annotations: Path, content: str) -> None:
    annotations.write_text(content)
    with pytest.raises(DatasetError, match=r"train\.json") as caught:
        open_dataset(annotations)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(annotations: Path) -> None:
    with pytest.raises(DatasetError, match=r"^could not read .*gone\.json: No such file or directory$"):
        CocoDataset(annotations.parent, annotations.with_name("gone.json"))
    with pytest.raises(DatasetError, match=r"^no such folder of pictures: .*gone$"):
        CocoDataset(annotations.with_name("gone"), annotations)
