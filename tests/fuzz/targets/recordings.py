"""`instances.jsonl`: turned into every format, and taken up again by a run that goes on with it."""

import json
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app import annotate, formats
from app.annotation.formats import FORMATS
from tests.fake_annotation import use_fake_model
from tests.fake_recording import recording
from tests.fuzz.commands import run_command_line
from tests.fuzz.files import HostileFile, mutated, reads_file
from tests.fuzz.json_values import as_bytes, changed
from tests.fuzz.target import Target
from tests.fuzz.targets.media import video

_OPTIONS = ("--track", "--video", "--format", "coco,yolo")


@cache
def _whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path, _ = recording(Path(folder))
        return path.read_bytes()


@cache
def _begun() -> bytes:
    """What a run on the whole GIF leaves."""
    with tempfile.TemporaryDirectory() as folder:
        _annotate(Path(folder))
        return (Path(folder) / "out/clip/instances.jsonl").read_bytes()


def _annotate(folder: Path) -> None:
    (folder / "clip.gif").write_bytes(video("gif").content)
    with pytest.MonkeyPatch.context() as patched:
        use_fake_model(patched)
        run_command_line(annotate.main, [folder / "clip.gif", *_OPTIONS, "--out", folder / "out"])


def convert(path: Path) -> None:
    """Write every format."""
    run_command_line(formats.main, [path, "--format", ",".join(FORMATS), "--out", path.parent / "out"])


def resume(file: HostileFile) -> None:
    """Go on with lines that another run, or anybody, left."""
    with tempfile.TemporaryDirectory() as name:
        left = Path(name) / "out/clip/instances.partial.jsonl"
        left.parent.mkdir(parents=True)
        left.write_bytes(file.content)
        _annotate(Path(name))


def _hostile_lines(whole: bytes) -> SearchStrategy[HostileFile]:
    lines = [json.loads(line) for line in whole.splitlines()]
    replaced = changed(lines).map(lambda values: b"".join(as_bytes(value) + b"\n" for value in values))
    return st.one_of(
        replaced.map(lambda content: HostileFile("lines", content)), mutated([HostileFile("lines", whole)])
    )


def _known(whole: bytes) -> list[HostileFile]:
    header, line, *others = whole.splitlines(keepends=True)
    height, _ = json.loads(line)["instances"][0]["segmentation"]["size"]
    no_rows = line.replace(b'"size":[%d,' % height, b'"size":[0,')
    return [
        HostileFile("a size of no rows", b"".join([header, no_rows, *others])),
        HostileFile("an empty object", b"".join([header, b"{}\n", line, *others])),
        HostileFile("deep JSON", b"".join([header, b"[" * 100_000 + b"\n"])),
        HostileFile("an endless time base", header.replace(b'"time_base":"1/', b'"time_base":"1e9999999/')),
    ]


TARGETS = (
    Target(
        "jsonl-formats",
        "JSONL",
        _hostile_lines(_whole()),
        reads_file(convert, ".jsonl"),
        known=_known(_whole()),
        examples=60,
    ),
    Target(
        "jsonl-resume",
        "JSONL",
        _hostile_lines(_begun()),
        resume,
        known=_known(_begun()),
        examples=30,
    ),
)
