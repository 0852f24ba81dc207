"""`--source`, `--config cameras.yaml` and `--zones`: what a user types or writes for the sources of a run."""

from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.cameras_file import read_plans
from app.lane_plan import LanePlan, plan_sources, separate_files
from app.sources import find_source
from app.sources.address import scheme_of
from app.zones_file import check_areas, read_areas
from solov2.errors import SOLOv2Error
from tests.fuzz.files import HostileFile, mutated, reads_file
from tests.fuzz.json_values import changed
from tests.fuzz.target import Target

COMMON = LanePlan("", "", 0.3, None, False, Path("{source}.mp4"))
SECRET = "se-cret"
_ADDRESS = f"rtsp://me:{SECRET}@192.168.1.20:554/stream1?password={SECRET}"

_WHOLE: dict[str, Any] = {
    "cameras": [
        {"name": "front door", "source": _ADDRESS, "classes": ["person", "dog"], "score": 0.5},
        {"name": "desk", "source": 0, "track": True, "save": "{source}-{time}.mp4"},
        {"name": "yard", "source": "http://cams.example/${HOME}"},
    ]
}
_ZONES: dict[str, Any] = {
    "zones": [{"name": "door", "points": [[0.1, 0.1], [0.5, 0.1], [0.3, 0.6]], "share": 0.3, "classes": ["person"]}],
    "lines": [{"name": "gate", "pixels": [[10, 20], [300, 40]]}],
}
_WORDS = (
    *(
        "cameras:",
        "\n",
        "  - ",
        "name: a",
        "source: 0",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "\t",
        "---\n",
    ),
    *(
        "!!python/name:os",
        "!!set ",
        "!!binary ",
        "2024-99-99",
        "1" * 5000,
        "0x",
        "${HOME}",
        "'",
        '"',
        "\\ud800",
        SECRET,
    ),
)
_SYNTAX = st.lists(st.sampled_from(_WORDS) | st.text(max_size=4), max_size=30)
_STARTS = st.sampled_from(["", "demo", "screen:", "0", "999", "rtsp://", "http://", "file://", "/", "../", "~", "٣"])


def read_config(path: Path) -> None:
    """Plan what a file of cameras says; messages and names of sources never show a password."""
    try:
        plans = read_plans(path, COMMON)
        separate_files(plans)
    except SOLOv2Error as error:
        if SECRET in str(error):
            raise AssertionError("shows a password") from error
        raise
    for plan in plans:
        assert isinstance(plan.source, str)
        assert plan.name.isprintable(), plan.name
        assert 0 <= plan.score <= 1
        assert plan.save is None or str(plan.save).isprintable()


def read_zones(path: Path) -> None:
    """Read zones and lines, as `--zones` does, and place them in a picture."""
    areas = read_areas(path)
    check_areas(areas, (480, 640), "clip")
    assert all(area.name.isprintable() for area in areas)


def plan_typed_sources(texts: list[str]) -> None:
    """Plan what is typed: every lane has a name and a file of its own, without a password."""
    plans = plan_sources(texts, COMMON)
    assert len({plan.name for plan in plans}) == len(texts)
    separate_files(plans)
    for text, plan in zip(texts, plans, strict=True):
        assert plan.name.isprintable(), plan.name
        assert scheme_of(text) is None or SECRET not in f"{plan.name} {plan.save}"
        find_source(text)


def _written(whole: dict[str, Any]) -> SearchStrategy[HostileFile]:
    dumped = changed(whole).map(lambda value: yaml.dump(value).encode("utf-8", "surrogatepass"))
    typed = _SYNTAX.map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
    return st.one_of(
        dumped.map(partial(HostileFile, "changed")),
        typed.map(partial(HostileFile, "syntax")),
        mutated([HostileFile("whole", yaml.dump(whole).encode())]),
    )


def _bomb(levels: int) -> bytes:
    """Return a document whose aliases stand for ten to the power of `levels` cameras."""
    lines = ["a0: &a0 {name: x, source: '0'}"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels + 1)]
    return "\n".join([*lines, f"cameras: *a{levels}"]).encode()


_KNOWN_FILES = [
    HostileFile("nested lists", b"[" * 20_000),
    HostileFile("a date that is none", b"cameras: 2024-99-99"),
    HostileFile("a long number", b"cameras: " + b"1" * 5000),
    HostileFile("a code object", b"cameras: !!python/object/apply:os.system ['true']"),
    HostileFile("aliases", _bomb(9)),
    HostileFile("an alias of itself", b"cameras: &a [*a]"),
    HostileFile("a key of two lines", b'cameras: [{name: a, source: "0", "two\\nlines": 1}]'),
    HostileFile("a file name with a NUL", b'cameras: [{name: a, source: "0", save: "a\\0b.mp4"}]'),
]

TARGETS = (
    Target("cameras", "config", _written(_WHOLE), reads_file(read_config, ".yaml"), known=_KNOWN_FILES),
    Target("zones", "config", _written(_ZONES), reads_file(read_zones, ".yaml"), known=_KNOWN_FILES),
    Target(
        "sources",
        "config",
        st.lists(st.builds(str.__add__, _STARTS, st.text(max_size=12) | st.just(_ADDRESS[7:])), min_size=1, max_size=3),
        plan_typed_sources,
        known=(["x" * 5000], ["a\0b"], ["\udc80"], [_ADDRESS, _ADDRESS], ["a\nb"]),
    ),
)
