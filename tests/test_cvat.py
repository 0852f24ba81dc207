"""The CVAT file against a schema: what CVAT's documentation of its XML format 1.1 allows in a task of images.

CVAT publishes no schema; this one says in our words what its documentation tells, and what CVAT does on import.
"""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from app.annotation.formats import FORMATS
from tests.fake_recording import HW, box, line, masks, record, recording, write_recording

NUMBER, TEXT, FLAG, BOOLEAN = r"\d+", r"[\s\S]+", "[01]", "True|False"

# The children of each element, in their order: one, or with ? none or one, with * any number, with + one at least.
CHILDREN = {
    "annotations": "version meta image*",
    "meta": "task dumped?",
    "task": "id? name size mode overlap bugtracker? flipped? created? updated? labels segments? owner? original_size?",
    "labels": "label+",
    "label": "name color? type? attributes",
    "attributes": "attribute*",
    "labels/attribute": "name mutable input_type default_value values",
    "original_size": "width height",
    "image": "mask*",
    "mask": "attribute*",
}
# What an element without children says, and the attributes that it has: all of them, and no other.
TEXTS = {
    "version": r"1\.1",
    "name": TEXT,
    "size": NUMBER,
    "mode": "annotation",
    "overlap": NUMBER,
    "mutable": BOOLEAN,
    "input_type": "select|checkbox|radio|number|text",
    "default_value": TEXT,
    "values": r"[\d.]+\n[\d.]+\n[\d.]+",  # of a number: least, most, step
    "width": NUMBER,
    "height": NUMBER,
    "mask/attribute": TEXT,
}
ATTRIBUTES = {
    "image": {"id": NUMBER, "name": TEXT, "width": NUMBER, "height": NUMBER},
    "mask": {
        "label": TEXT,
        "source": "manual|auto",
        "occluded": FLAG,
        "rle": r"\d+(, \d+)*",
        **dict.fromkeys(("left", "top", "width", "height", "z_order"), NUMBER),
    },
    "mask/attribute": {"name": TEXT},
}


def flaws(element: ElementTree.Element, place: str = "") -> list[str]:
    """What the schema does not allow in `element`, which lies in `place`: `labels`, or the name of another parent."""
    kind = f"{place}/attribute" if element.tag == "attribute" else element.tag
    found = []
    names = "".join(f"{child.tag} " for child in element)
    if not re.fullmatch(pattern(CHILDREN.get(kind, "")), names):
        found.append(f"{kind} holds {names}")
    if not len(element) and not re.fullmatch(TEXTS.get(kind, r"\s*"), element.text or ""):
        found.append(f"{kind} says {element.text!r}")
    allowed = ATTRIBUTES.get(kind, {})
    if allowed.keys() != element.attrib.keys():
        found.append(f"{kind} has {sorted(element.attrib)}")
    found += [
        f"{kind} has {name}={value!r}"
        for name, value in element.attrib.items()
        if not re.fullmatch(allowed.get(name, ""), value)
    ]
    inner = place if place == "labels" else element.tag
    return found + [flaw for child in element for flaw in flaws(child, inner)]


def pattern(children: str) -> str:
    """The regular expression of a line of `CHILDREN`, for names that are each followed by a space."""
    return "".join(re.sub(r"(\w+)(\W?)", r"(\1 )\2", part) for part in children.split())


def disagreements(root: ElementTree.Element) -> list[str]:
    """What the schema allows and CVAT would still refuse or drop."""
    declared = {
        label.findtext("name"): {
            attribute.findtext("name"): [float(text) for text in (attribute.findtext("values") or "").split("\n")]
            for attribute in label.iter("attribute")
        }
        for label in root.iter("label")
    }
    images = root.findall("image")
    found = [] if root.findtext("meta/task/size") == str(len(images)) else ["size is not the number of images"]
    if (ids := [int(image.attrib["id"]) for image in images]) != sorted(set(ids)):
        found.append("ids are not in order, or not unique")
    for image in images:
        for mask in image:
            left, top, width, height = (int(mask.attrib[name]) for name in ("left", "top", "width", "height"))
            if left + width > int(image.attrib["width"]) or top + height > int(image.attrib["height"]):
                found.append(f"a mask leaves image {image.attrib['id']}")
            runs = [int(run) for run in mask.attrib["rle"].split(",")]
            if sum(runs) != width * height or not all(runs[1:]):
                found.append(f"the runs in image {image.attrib['id']} do not fill the box, or one is empty")
            for attribute in mask:
                limits = declared.get(mask.attrib["label"], {}).get(attribute.attrib["name"])
                if limits is None or not is_within(float(attribute.text or "nan"), *limits):
                    found.append(f"{mask.attrib['label']} has {attribute.attrib['name']} {attribute.text}")
    return found


def is_within(value: float, least: float, most: float, step: float) -> bool:
    steps = (value - least) / step
    return least <= value <= most and abs(steps - round(steps)) < 1e-6


def written(instances: Path) -> ElementTree.Element:
    return ElementTree.parse(FORMATS["cvat"](instances, instances.parent)).getroot()


def test_what_is_written_is_what_the_schema_allows(tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    root = written(instances)
    assert flaws(root) == []
    assert disagreements(root) == []
    assert len(list(root.iter("mask"))) == 12


@pytest.mark.parametrize("lines", [[], [line(3, [])]])
def test_a_file_without_a_mask_is_what_the_schema_allows(lines: list[dict[str, object]], tmp_path: Path) -> None:
    root = written(write_recording(tmp_path / "a.jsonl", lines))
    assert (flaws(root), disagreements(root)) == ([], [])


@pytest.mark.parametrize("score", [0.0, 0.0001, 0.3, 0.99995, 1.0])
def test_every_score_is_one_that_the_label_declares(score: float, tmp_path: Path) -> None:
    found = record(box(1, 2, 30, 40), score=round(score, 4), track_id=1_000_000)
    root = written(write_recording(tmp_path / "a.jsonl", [line(0, [found])]))
    assert (flaws(root), disagreements(root)) == ([], [])


def test_a_name_with_characters_that_xml_cannot_hold_is_written_all_the_same(tmp_path: Path) -> None:
    odd = 'a\x01 <"&>\n\ud7ff\ufffe.png'
    root = written(write_recording(tmp_path / "a.jsonl", [line(0, [record(masks()[1])], file_name=odd)]))
    assert (flaws(root), disagreements(root)) == ([], [])
    assert root.find("image").attrib["name"] == 'a\ufffd <"&>\n\ud7ff\ufffd.png'  # type: ignore[union-attr]


def test_the_masks_are_those_that_cvat_decodes(tmp_path: Path) -> None:
    """CVAT keeps the runs and the corners of the box, both of them inside, and fills the box row by row."""
    instances, expected = recording(tmp_path)
    for image in written(instances).iter("image"):
        found = []
        for mask in sorted(image, key=lambda mask: -int(mask.attrib["z_order"])):
            runs = list(map(int, mask.attrib["rle"].split(",")))
            left, top = int(mask.attrib["left"]), int(mask.attrib["top"])
            right, bottom = left + int(mask.attrib["width"]) - 1, top + int(mask.attrib["height"]) - 1
            plane, value, place = np.zeros(HW, bool), False, 0
            for run in runs:
                for _ in range(run):
                    row, column = divmod(place, right - left + 1)
                    plane[top + row, left + column] = value
                    place += 1
                value = not value
            assert divmod(place, right - left + 1) == (bottom - top + 1, 0)
            found.append(plane)
        assert all(map(np.array_equal, found, expected[int(image.attrib["id"])]))
        assert len(found) == len(expected[int(image.attrib["id"])])


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (("<version>1.1", "<version>1.0"), "version says '1.0'"),
        ((' z_order="0"', ""), "mask has ['height'"),
        (('occluded="0"', 'occluded="no"'), "mask has occluded='no'"),
        (("<overlap>0</overlap>", ""), "task holds name size mode labels"),
        (("<mutable>True", "<mutable>yes"), "mutable says 'yes'"),
    ],
)
def test_the_schema_finds_flaws(change: tuple[str, str], flaw: str, tmp_path: Path) -> None:
    instances, _ = recording(tmp_path)
    path = FORMATS["cvat"](instances, tmp_path)
    found = flaws(ElementTree.fromstring(path.read_text().replace(*change)))
    assert any(text.startswith(flaw) for text in found), json.dumps(found)
