"""What `deploy/` holds fits the program: its options, its extras, its files of cameras."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.page.server_options import build_parser as page_parser
from app.webcam import build_parser, make_plans
from solov2.cli import EXIT_INTERRUPTED, EXIT_USER_ERROR

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
CONTAINERFILES = sorted(DEPLOY.glob("Containerfile.*"))


def instruction(path: Path, name: str) -> str:
    """The last instruction of that name in a Containerfile."""
    return str(re.findall(rf"^{name} (.*)$", path.read_text(), re.M)[-1])


def service(key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", (DEPLOY / "solov2-live.service").read_text(), re.M)
    assert len(found) == 1
    return str(found[0])


def test_the_example_of_a_file_of_cameras_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR_PASSWORD", "from-the-environment")
    door, desk = make_plans(build_parser().parse_args(["--config", str(DEPLOY / "cameras.yaml")]))
    assert (door.name, desk.name) == ("front door", "desk")
    assert door.areas
    assert door.areas[0].name == "step"
    assert desk.track


def test_the_service_starts_what_the_program_takes() -> None:
    program, command, *arguments = shlex.split(service("ExecStart"))
    assert (Path(program).name, command) == ("solov2-live", "webcam")
    options = build_parser().parse_args(arguments)
    assert options.headless
    assert service("RestartPreventExitStatus") == str(EXIT_USER_ERROR)
    assert service("SuccessExitStatus") == str(EXIT_INTERRUPTED)


def test_systemd_takes_the_service(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "solov2-live.service").read_text()
    unit = tmp_path / "solov2-live.service"
    unit.write_text(text.replace("/opt/solov2-live/bin/solov2-live", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert "solov2-live.service" not in done.stderr  # what it says of other units is not ours


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.suffix[1:])
def test_a_container_starts_what_the_program_takes(path: Path) -> None:
    assert json.loads(instruction(path, "ENTRYPOINT")) == ["solov2-live"]
    command, *arguments = json.loads(instruction(path, "CMD"))
    options: argparse.Namespace = page_parser().parse_args(arguments)
    assert command == "ui"
    assert str(options.port) == instruction(path, "EXPOSE")


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.suffix[1:])
def test_a_container_is_built_from_what_is_there(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"\.whl\)\[([\w,]+)\]", path.read_text())
    assert set(extras[0].split(",")) <= set(project["optional-dependencies"])
    copied = [name for line in re.findall(r"^COPY (?!--)(.*) \S+$", path.read_text(), re.M) for name in line.split()]
    assert {"pyproject.toml", "app", "solov2"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
