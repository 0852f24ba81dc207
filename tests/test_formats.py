"""Annotation formats, each read back with the reader that its users have, or with one written after its description."""

import base64
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from app.annotation.formats import FORMATS, NEED_TRACK_IDS
from app.annotation.jsonl_reader import InstancesFile
from app.formats import main
from app.stream_errors import AppError, SinkError, SourceError
from solov2.data.data_folder import READERS
from tests.fake_media import grey, write_picture, write_video
from tests.fake_recording import CLASSES, HW, box, header, line, masks, record, recording, write_recording

Masks = dict[int, list[np.ndarray]]
SUFFIX = "jpg"


def read_coco(folder: Path) -> Masks:
    coco = COCO(str(folder / "coco.json"))
    images = coco.loadImgs(coco.getImgIds())
    return {
        image["frame"]: [coco.annToMask(each) for each in coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))]
        for image in images
    }


def read_cvat(folder: Path) -> Masks:
    """Read what CVAT does: runs of nothing, mask, nothing, ... through the rows of a box."""
    found: Masks = {}
    for image in ElementTree.parse(folder / "annotations.xml").getroot().iter("image"):
        in_front_last = sorted(image.iter("mask"), key=lambda mask: int(mask.attrib["z_order"]))
        found[int(image.attrib["id"])] = [cvat_mask(mask.attrib) for mask in reversed(in_front_last)]
    return found


def cvat_mask(values: dict[str, str]) -> np.ndarray:
    left, top, width, height = (int(values[name]) for name in ("left", "top", "width", "height"))
    lengths = [int(length) for length in values["rle"].split(",")]
    assert sum(lengths) == width * height
    plane = np.zeros(HW, bool)
    plane[top : top + height, left : left + width] = np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(height, -1)
    return plane


def read_labelme(folder: Path) -> Masks:
    found: Masks = {}
    for file in sorted((folder / "labelme").glob("*.json")):
        content = json.loads(file.read_text())
        assert (content["imageHeight"], content["imageWidth"]) == HW
        found[frame_of(file)] = [labelme_mask(shape) for shape in content["shapes"]]
    return found


def labelme_mask(shape: dict[str, Any]) -> np.ndarray:
    part = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    (left, top), (right, bottom) = shape["points"]
    plane = np.zeros(HW, bool)
    plane[top : bottom + 1, left : right + 1] = part  # which must have just this size
    assert part.shape == (bottom + 1 - top, right + 1 - left)
    return plane


def read_masks(folder: Path) -> Masks:
    frames = sorted((folder / "masks").iterdir())
    return {frame_of(frame): [np.asarray(Image.open(file)) for file in sorted(frame.iterdir())] for frame in frames}


def read_youtube_vis(folder: Path) -> Masks:
    content = json.loads((folder / "youtube_vis.json").read_text())
    (video,) = content["videos"]
    found: Masks = {}
    for position, name in enumerate(video["file_names"]):
        seen = [(each["score"], each["segmentations"][position]) for each in content["annotations"]]
        found[frame_of(Path(name))] = [coco_mask.decode(code) for _, code in seen if code]
    return found


def frame_of(path: Path) -> int:
    return int(path.stem.removeprefix("frame_"))


EXACT: dict[str, Callable[[Path], Masks]] = {
    "coco": read_coco,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "masks": read_masks,
}


@pytest.mark.parametrize("name", EXACT)
def test_masks_are_read_back_as_they_were(name: str, tmp_path: Path) -> None:
    instances, expected = recording(tmp_path)
    FORMATS[name](instances, tmp_path / "out")
    found = EXACT[name](tmp_path / "out")
    assert list(found) == list(expected)
    for frame in expected:
        assert len(found[frame]) == len(expected[frame])
        for mask, wanted in zip(found[frame], expected[frame], strict=True):
            assert np.array_equal(mask.astype(bool), wanted)


def test_tracks_are_read_back_from_youtube_vis(tmp_path: Path) -> None:
    instances, expected = recording(tmp_path)
    content = json.loads(FORMATS["youtube-vis"](instances, tmp_path).read_text())
    found = read_youtube_vis(tmp_path)
    assert {frame: len(shown) for frame, shown in found.items()} == {0: 9, 2: 0, 4: 3}
    assert all(np.array_equal(mask, wanted) for mask, wanted in zip(found[0], expected[0], strict=True))
    first, second, *_, last = content["annotations"]
    assert (first["id"], last["id"]) == (1, 77)
    assert [code is None for code in first["segmentations"]] == [False, True, False]
    assert np.array_equal(coco_mask.decode(second["segmentations"][2]), expected[4][0])
    assert second["bboxes"] == [[5, 5, 40, 35], None, [30, 10, 41, 41]]
    assert second["areas"] == [expected[0][1].sum(), None, expected[4][0].sum()]
    assert first["score"] == pytest.approx((0.9 + 0.4) / 2)
    assert [len(last[key]) for key in ("segmentations", "bboxes", "areas")] == [3, 3, 3]
    assert content["videos"][0]["length"] == 3


def read_yolo(folder: Path, whole: Callable[[np.ndarray], np.ndarray]) -> Masks:
    """Fill outlines whose corners `whole` has brought to whole pixels."""
    found: Masks = {}
    for file in sorted((folder / "labels").glob("*.txt")):
        found[frame_of(file)] = []
        for text in file.read_text().splitlines():
            shares = np.array(text.split()[1:], float).reshape(-1, 2)
            assert ((shares > 0) & (shares < 1)).all()
            assert len(shares) >= 3
            plane = np.zeros(HW, np.uint8)
            cv2.fillPoly(plane, [whole(shares * HW[::-1]).astype(np.int32)], 1)
            found[frame_of(file)].append(plane)
    return found


@pytest.mark.parametrize("whole", [np.floor, np.round])
def test_yolo_outlines_are_exact_but_for_the_bridges_between_parts_and_holes(
    whole: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    instances, expected = recording(tmp_path)
    FORMATS["yolo"](instances, tmp_path)
    found = read_yolo(tmp_path, whole)
    assert {frame: len(shown) for frame, shown in found.items()} == {0: 9, 2: 0, 4: 3}
    for number, (mask, wanted) in enumerate(zip(found[0], expected[0], strict=True)):
        assert (mask >= wanted).all()
        added = int(mask.sum()) - int(wanted.sum())
        if number in (1, 2):  # a hole with an island in it, and parts far from one another
            assert 0 < added < 120
        elif number != 4:
            assert added == 0


def test_the_trainer_learns_from_what_was_annotated(tmp_path: Path) -> None:
    """The three layouts that `--data` takes, with pictures in their place."""
    instances, expected = recording(tmp_path)
    for name, layout in (("coco", "COCO"), ("yolo", "YOLO"), ("labelme", "LabelMe")):
        folder = tmp_path / name
        FORMATS[name](instances, folder)
        (folder / "images").mkdir()
        for frame in expected:
            assert cv2.imwrite(str(folder / "images" / f"frame_{frame:06d}.{SUFFIX}"), grey(90, HW))
        found = READERS[layout](folder)
        assert found is not None
        train, validation = found
        assert validation is None
        assert len(train["annotations"]) == 12
        assert {category["name"] for category in train["categories"]} == set(CLASSES)


def test_coco_says_what_its_readers_look_for(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    content = json.loads(FORMATS["coco"](instances, tmp_path).read_text())
    assert content["categories"] == [
        {"id": 1, "name": "person", "supercategory": ""},
        {"id": 2, "name": "cat & dog", "supercategory": ""},
    ]
    assert [image["file_name"] for image in content["images"]] == [f"frame_{frame:06d}.jpg" for frame in (0, 2, 4)]
    assert min(image["id"] for image in content["images"]) == 1
    last = content["annotations"][-1]
    assert last["id"] == len(content["annotations"]) == 12
    assert (last["image_id"], last["category_id"], last["iscrowd"], last["score"]) == (5, 1, 0, 0.35)
    assert last["attributes"] == {"track_id": 77}
    assert last["bbox"] == [5, 5, 40, 35]
    assert last["area"] == masks()[1].sum()


def test_cvat_says_what_its_readers_look_for(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    root = ElementTree.parse(FORMATS["cvat"](instances, tmp_path)).getroot()
    assert root.findtext("version") == "1.1"
    assert [label.text for label in root.iterfind("meta/task/labels/label/name")] == list(CLASSES)
    assert root.findtext("meta/task/size") == "3"
    image = root.findall("image")[-1]
    assert image.attrib == {"id": "4", "name": "frame_000004.jpg", "width": "90", "height": "60"}
    mask = image.findall("mask")[0]
    assert mask.attrib["label"] == "person"
    assert {each.attrib["name"]: each.text for each in mask} == {"score": "0.35", "track_id": "77"}


def test_yolo_names_the_classes_in_their_order(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    text = FORMATS["yolo"](instances, tmp_path).read_text()
    assert "names:\n  0: person\n  1: cat & dog\n" in text
    assert (tmp_path / "labels" / "frame_000002.txt").read_text() == ""
    assert [line.split()[0] for line in (tmp_path / "labels" / "frame_000004.txt").read_text().splitlines()] == [
        "1",
        "0",
        "0",
    ]


def test_mask_files_are_called_after_what_they_show(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    FORMATS["masks"](instances, tmp_path)
    names = [path.name for path in sorted((tmp_path / "masks" / "frame_000004").iterdir())]
    assert names == ["001_cat_dog_id2.png", "002_person_id1.png", "003_person_id77.png"]
    with Image.open(tmp_path / "masks" / "frame_000004" / names[0]) as picture:
        assert picture.mode == "1"


def test_a_hundred_masks_of_a_frame_are_in_order_by_their_names(tmp_path: Path) -> None:
    columns = [box(0, left % 90, 1 + left // 90, left % 90 + 1) for left in range(100)]
    instances = write_recording(tmp_path / "a.jsonl", [line(0, [record(mask) for mask in columns])])
    FORMATS["masks"](instances, tmp_path)
    found = read_masks(tmp_path)[0]
    assert all(map(np.array_equal, found, columns))
    assert len(found) == 100


@pytest.mark.parametrize("name", FORMATS)
def test_a_recording_without_instances_is_written(name: str, tmp_path: Path) -> None:
    assert FORMATS[name](write_recording(tmp_path / "a.jsonl", [line(0, [])]), tmp_path / "out").exists()
    assert FORMATS[name](write_recording(tmp_path / "a.jsonl", []), tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in NEED_TRACK_IDS])
def test_nobody_needs_to_have_tracked(name: str, tmp_path: Path) -> None:
    instances = write_recording(tmp_path / "a.jsonl", [line(0, [record(box(1, 2, 30, 40))])])
    FORMATS[name](instances, tmp_path / "out")
    assert not any("track_id" in path.read_text() for path in (tmp_path / "out").rglob("*.json"))


def test_youtube_vis_without_track_ids_is_refused_in_one_line(tmp_path: Path) -> None:
    instances = write_recording(tmp_path / "a.jsonl", [line(0, [record(box(1, 2, 30, 40))])])
    with pytest.raises(SinkError, match=r"needs track ids.*annotate with --track"):
        FORMATS["youtube-vis"](instances, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_pictures_keep_their_own_names_folders_and_sizes(tmp_path: Path) -> None:
    small = np.ones((20, 30), bool)
    lines = [line(0, [record(small)], width=30, height=20, file_name="sub/a.b.png"), line(1, [], file_name="c.jpg")]
    instances = write_recording(tmp_path / "a.jsonl", lines)
    for name in ("coco", "cvat", "yolo", "labelme", "masks"):
        FORMATS[name](instances, tmp_path)
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [(image["file_name"], image["width"]) for image in content["images"]] == [("sub/a.b.png", 30), ("c.jpg", 90)]
    assert (tmp_path / "labels/sub/a.b.txt").read_text().startswith("0 0.008333 0.012500 ")
    assert json.loads((tmp_path / "labelme/sub/a.b.json").read_text())["imagePath"] == "../../images/sub/a.b.png"
    assert np.asarray(Image.open(tmp_path / "masks/sub/a.b/001_person.png")).all()
    with pytest.raises(SinkError, match="differs in size"):
        FORMATS["youtube-vis"](instances, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("pts"), "line 2 is not what solov2-live/1 asks for: lacks 'pts'"),
        (
            lambda values: values["instances"][0].update(category_id=3),
            "category_id 3 is none of the header's 2 classes",
        ),
        (
            lambda values: values["instances"][0].update(category_id=0),
            "category_id 0 is none of the header's 2 classes",
        ),
        (lambda values: values.update(file_name="../../x.jpg"), "leads out of its folder"),
        (lambda values: values.update(file_name="/etc/x.jpg"), "leads out of its folder"),
        (lambda values: values.update(instances=None), "line 2"),
        (lambda values: values.clear(), "line 2 is not what .*: lacks 'frame'"),
        (lambda values: values.update(frame=-1), "line 2 .*: frame: "),
        (lambda values: values.update(seconds=float("nan")), "line 2 .*: "),
        (lambda values: values.update(width=91), "must be of 60 rows and 91 columns, got 60 and 90"),
        (lambda values: values.update(width=1 << 40), "line 2 .*: width: "),
        (lambda values: values.update(file_name="a\0b.jpg"), "leads out of its folder, or is no name"),
        (lambda values: values["instances"][0].update(bbox=[1, 2, 3]), "instances.0.bbox: "),
        (lambda values: values["instances"][0].update(bbox=[1, 2, 3, "4"]), "instances.0.bbox.3"),
        (lambda values: values["instances"][0].update(area=-4), "instances.0.area: "),
        (lambda values: values["instances"][0].update(track_id="7"), "instances.0.track_id: "),
        (lambda values: values["instances"][0].update(segmentation=None), "instances.0.segmentation: "),
        (lambda values: values["instances"][0]["segmentation"].update(counts="0"), "instances.0.segmentation: "),
        (lambda values: values["instances"][0]["segmentation"].update(size=[0, 90]), "instances.0.segmentation: "),
        (lambda values: values["instances"][0]["segmentation"].update(counts=[5400]), "no pixel, but an area of"),
    ],
)
def test_a_broken_line_is_named(change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path) -> None:
    values = line(0, [record(box(1, 2, 30, 40))])
    change(values)
    instances = write_recording(tmp_path / "a.jsonl", [values])
    with pytest.raises(SourceError, match=message) as caught:
        FORMATS["coco"](instances, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{}\n", "[1]\n", "nonsense\n", "\x00", '{"format":"solov2-live/1"}\n', "[" * 100_000, '{"a":"\\ud800"}'],
)
def test_a_file_of_another_kind_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(SourceError, match="line 1 is not what solov2-live/1 asks for") as caught:
        InstancesFile(tmp_path / "a.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("time_base", ["1/0", "0/1", "1e999999999", "1/9e99", "-1/25", "1", "x", 25])
def test_a_time_base_that_is_no_fraction_is_refused_in_no_time(tmp_path: Path, time_base: object) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(header() | {"time_base": time_base}) + "\n")
    with pytest.raises(SourceError, match=r"line 1 is not what .*: time_base: "):
        InstancesFile(tmp_path / "a.jsonl")


def test_a_line_that_was_cut_off_is_named(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    instances.write_bytes(instances.read_bytes()[:-40])
    with pytest.raises(SourceError, match="line 4"):
        FORMATS["masks"](instances, tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_before_stays_until_the_new_is_whole(name: str, tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    out = tmp_path / "out"
    FORMATS[name](instances, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    instances.write_bytes(instances.read_bytes()[:-40])
    with pytest.raises(AppError):
        FORMATS[name](instances, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_run_leaves_nothing_of_the_first(name: str, tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    once, twice = tmp_path / "once", tmp_path / "twice"
    FORMATS[name](instances, twice)
    write_recording(instances, [line(7, [record(masks()[0], track_id=5)])])
    for folder in (once, twice):
        FORMATS[name](instances, folder)
    contents = [
        {path.relative_to(folder): path.is_dir() or path.read_bytes() for path in folder.rglob("*")}
        for folder in (once, twice)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_cannot_be_written_is_one_line(name: str, tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match="could not write"):
        FORMATS[name](instances, tmp_path / "file" / "out")


@pytest.mark.parametrize("name", ["coco", "cvat", "yolo", "youtube-vis"])
def test_memory_does_not_grow_with_the_length(name: str, tmp_path: Path) -> None:
    found = [record(masks()[3 if name == "yolo" else 4], track_id=track_id) for track_id in range(1, 6)]

    def peak(frames: int) -> int:
        instances = write_recording(tmp_path / "a.jsonl", [])
        with instances.open("a") as file:
            file.writelines(json.dumps(line(frame, found)) + "\n" for frame in range(frames))
        tracemalloc.start()
        FORMATS[name](instances, tmp_path / "out")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)  # what is loaded and cached once
    short, long = peak(10), peak(90)
    per_frame = (long - short) / 80
    assert per_frame < 0.5 * len(json.dumps(found)), f"{per_frame:.0f} bytes a frame"


def test_the_command_writes_formats_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mkv", [grey(40 * index, HW) for index in range(6)])
    instances, _ = recording(tmp_path)
    out = tmp_path / "out"
    assert main([str(instances), "--format", "coco, yolo,coco", "--out", str(out), "--pictures", str(clip)]) == 0
    assert capsys.readouterr().out == f"wrote {out}/coco.json\nwrote {out}/data.yaml\nwrote {out}/images\n"
    pictures = sorted((out / "images").iterdir())
    assert [path.name for path in pictures] == [f"frame_{frame:06d}.jpg" for frame in (0, 2, 4)]
    for frame, path in zip((0, 2, 4), pictures, strict=True):
        assert abs(int(np.asarray(cv2.imread(str(path))).mean()) - 40 * frame) <= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "coko"], "error: unknown format 'coko'. Did you mean 'coco'? Known: coco, yolo"),
        (["--format", "coco", "--pictures", "nowhere.mp4"], "error: no such file or folder: nowhere.mp4"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instances, _ = recording(tmp_path)
    assert main([str(instances), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1


def test_pictures_of_a_folder_are_found_by_their_names(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for value, name in ((30, "a.png"), (60, "b.png"), (90, "c.png")):
        write_picture(shots / name, grey(value, HW))
    lines = [line(0, [], file_name="a.png"), line(1, [], file_name="c.png")]  # b was not annotated
    instances = write_recording(tmp_path / "a.jsonl", lines)
    assert main([str(instances), "--format", "coco", "--pictures", str(shots)]) == 0
    means = {path.name: np.asarray(cv2.imread(str(path))).mean() for path in (tmp_path / "images").iterdir()}
    assert means == {"a.png": 30, "c.png": 90}
    (shots / "c.png").unlink()
    assert main([str(instances), "--format", "coco", "--pictures", str(shots), "--out", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize("name", ["coco", "cvat", "yolo", "labelme", "masks"])
def test_a_picture_whose_name_is_dots_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    names = ["..jpg", "...jpg", "sub/...jpg"]
    lines = [line(number, [record(box(1, 2, 30, 40), 1, 0.9, 1)], file_name=name) for number, name in enumerate(names)]
    instances = write_recording(tmp_path / "a.jsonl", lines)
    FORMATS[name](instances, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]


@pytest.mark.parametrize("name", ["yolo", "labelme", "masks"])
def test_two_pictures_never_share_a_file(name: str, tmp_path: Path) -> None:
    lines = [line(0, [], file_name="a.jpg"), line(1, [], file_name="a.png")]
    with pytest.raises(SinkError, match=r"two pictures would both have a.*, a\.png is one of them: rename it"):
        FORMATS[name](write_recording(tmp_path / "a.jsonl", lines), tmp_path)


def test_pictures_of_another_source_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mkv", [grey(0, HW)] * 3)
    instances, _ = recording(tmp_path)
    assert main([str(instances), "--format", "coco", "--pictures", str(clip)]) == 2
    assert "tells of frame 4, and the pictures end before it" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()
