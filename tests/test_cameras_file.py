from pathlib import Path

import pytest

from app.cameras_file import read_plans
from app.lane_plan import LanePlan, PlanError, plan_sources, separate_files

COMMON = LanePlan("", "", 0.3, None, False, None)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    return path


def test_a_file_of_cameras_gives_a_plan_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR_PASSWORD", "secret")
    path = write(
        tmp_path,
        """
cameras:
  - name: front door
    source: rtsp://me:${DOOR_PASSWORD}@192.168.1.20/stream1
    classes: [person, dog]
    score: 0.5
    save: "{source}.mp4"
  - name: desk
    source: 0
    track: true
""",
    )
    door, desk = read_plans(path, COMMON)
    assert door.source == "rtsp://me:secret@192.168.1.20/stream1"
    assert (door.score, door.classes, door.track) == (0.5, frozenset({"person", "dog"}), False)
    assert door.save == Path("front_door.mp4")
    assert desk == LanePlan("desk", "0", 0.3, None, True, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cameras: [{name: a, source: '0', colour: red}]", "unknown key cameras.0.colour; known: name, source, score"),
        ("camera: []", "cameras: Field required"),
        ("cameras: []", "cameras: List should have at least 1 item"),
        ("cameras: [{name: a}]", "cameras.0.source: Field required"),
        ("cameras: [{name: a, source: '0', score: 2}]", "cameras.0.score: Input should be less than or equal to 1"),
        ("cameras: [{name: a, source: ['rtsp://me:secret@x/']}]", "cameras.0.source"),
        ("cameras: [{name: a, source: '0'}, {name: a, source: '1'}]", "two cameras are called 'a'"),
        ("cameras: [{name: a, source: 'rtsp://me:${NOT_SET_HERE}@x/'}]", "variable NOT_SET_HERE, which is not set"),
        (
            "cameras: [{name: a, source: '0', segment_minutes: .inf}]",
            "cameras.0.segment_minutes: Input should be a finite",
        ),
        ("cameras: [{name: a, source: '0', segment_minutes: .nan}]", "cameras.0.segment_minutes: Input should be"),
        ("cameras: [{name: a, source: '0', pre_roll_seconds: .inf}]", "cameras.0.pre_roll_seconds: Input should be"),
        ("cameras: [", "is not YAML"),
        ("just words", "the file: Input should be"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_without_its_passwords(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_plans(write(tmp_path, text), COMMON)
    message = str(caught.value)
    assert problem in message
    assert "\n" not in message
    assert "secret" not in message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"could not read .*nothing.yaml: No such file or directory"):
        read_plans(tmp_path / "nothing.yaml", COMMON)


def test_sources_have_names_that_differ_and_hide_passwords() -> None:
    plans = plan_sources(["0", "rtsp://me:secret@host/a", "0"], COMMON)
    assert [plan.name for plan in plans] == ["0", "rtsp://host/…", "0 (2)"]


def test_each_source_is_written_to_a_file_of_its_own() -> None:
    save = LanePlan("", "", 0.3, None, False, Path("out/{source}-{time}.mp4"))
    first, second = plan_sources(["rtsp://me:secret@host/a", "demo"], save)
    assert (first.save, second.save) == (Path("out/rtsp_host-{time}.mp4"), Path("out/demo-{time}.mp4"))
    separate_files([first, second])
    one = LanePlan("", "", 0.3, None, False, Path("out.mp4"))
    with pytest.raises(PlanError, match=r"two sources would be written to out.mp4: name the file \{source\}.mp4"):
        separate_files(plan_sources(["0", "1"], one))
