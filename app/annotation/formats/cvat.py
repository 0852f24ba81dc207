"""CVAT for images 1.1: one XML file with the masks of every frame, in CVAT's own run-length code. Exact.

CVAT's other layout, with tracks, is no place for masks: of a track of masks CVAT takes over the first alone. A task
that holds the video takes this one: it finds its frames by their names and numbers.
"""

import re
from pathlib import Path
from xml.sax.saxutils import XMLGenerator

import numpy as np

from app.annotation.formats.atomic import atomic_file
from app.annotation.jsonl_reader import FrameRecord, Header, InstanceRecord, InstancesFile
from solov2.masks.mask_crop import MaskCrop

Attributes = dict[str, str]

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(instances: Path, folder: Path) -> Path:
    """Write `annotations.xml` into `folder`, reading `instances` twice: once to count the frames.

    Each mask has the attributes `score` and `track_id`. CVAT keeps those that a task's labels declare; the file's own
    `meta` says how.

    Arguments, result and errors are those of each writer in `app.annotation.formats.FORMATS`.
    """
    recording = InstancesFile(instances)
    frame_count = sum(1 for _ in recording)
    path = folder / "annotations.xml"
    with atomic_file(path) as file:
        xml = Xml(XMLGenerator(file, "utf-8", short_empty_elements=True))
        xml.generator.startDocument()
        xml.open("annotations")
        xml.text("version", "1.1")
        _write_meta(xml, recording.header, frame_count)
        for frame in recording:
            _write_image(xml, frame)
        xml.close("annotations")
    return path


class Xml:
    """Writes elements, one a line."""

    def __init__(self, generator: XMLGenerator) -> None:
        """Write through `generator`."""
        self.generator = generator

    def open(self, name: str, attributes: Attributes | None = None) -> None:
        """Begin an element."""
        self._start(name, attributes)
        self.generator.ignorableWhitespace("\n")

    def close(self, name: str) -> None:
        """End it."""
        self.generator.endElement(name)
        self.generator.ignorableWhitespace("\n")

    def text(self, name: str, text: str, attributes: Attributes | None = None) -> None:
        """Write an element that holds `text`."""
        self._start(name, attributes)
        self.generator.characters(_writable(text))
        self.close(name)

    def _start(self, name: str, attributes: Attributes | None) -> None:
        written = {key: _writable(value) for key, value in (attributes or {}).items()}
        self.generator.startElement(name, written)  # type: ignore[arg-type]  # a mapping is what it reads


def _writable(text: str) -> str:
    """Return `text` with a mark in the place of what XML cannot hold, such as the control characters of a file name."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _write_meta(xml: Xml, header: Header, frame_count: int) -> None:
    for name in ("meta", "task"):
        xml.open(name)
    for name, text in (("name", header.source), ("size", str(frame_count)), ("mode", "annotation"), ("overlap", "0")):
        xml.text(name, text)
    xml.open("labels")
    for category in header.classes:
        xml.open("label")
        xml.text("name", category)
        xml.open("attributes")
        _declare(xml, "score", ("0", "1", "0.0001"))
        _declare(xml, "track_id", ("0", "1000000000", "1"))
        for name in ("attributes", "label"):
            xml.close(name)
    xml.close("labels")
    xml.open("original_size")
    for name, size in (("width", header.width), ("height", header.height)):
        xml.text(name, str(size))
    for name in ("original_size", "task", "meta"):
        xml.close(name)


def _declare(xml: Xml, name: str, least_most_step: tuple[str, str, str]) -> None:
    xml.open("attribute")
    values = {"name": name, "mutable": "True", "input_type": "number", "default_value": "0"}
    for key, text in {**values, "values": "\n".join(least_most_step)}.items():
        xml.text(key, text)
    xml.close("attribute")


def _write_image(xml: Xml, frame: FrameRecord) -> None:
    size = {"width": str(frame.width), "height": str(frame.height)}
    xml.open("image", {"id": str(frame.frame), "name": frame.picture, **size})
    for z_order, instance in enumerate(reversed(frame.instances)):
        _write_mask(xml, instance, z_order)
    xml.close("image")


def _write_mask(xml: Xml, instance: InstanceRecord, z_order: int) -> None:
    crop = instance.crop()
    height, width = crop.mask.shape
    box = {"left": crop.left, "top": crop.top, "width": width, "height": height, "z_order": z_order}
    labelled = {"label": instance.category, "source": "auto", "occluded": "0", "rle": run_lengths(crop)}
    xml.open("mask", labelled | {name: str(value) for name, value in box.items()})
    xml.text("attribute", f"{instance.score:g}", {"name": "score"})
    if instance.track_id is not None:
        xml.text("attribute", str(instance.track_id), {"name": "track_id"})
    xml.close("mask")


def run_lengths(crop: MaskCrop) -> str:
    """Return CVAT's code: how long the runs of nothing, mask, nothing, ... are, row by row of the box."""
    changes = np.flatnonzero(np.diff(crop.mask.ravel(), prepend=False))
    lengths = np.diff(changes, prepend=0, append=crop.mask.size)
    return ", ".join(map(str, lengths.tolist()))
