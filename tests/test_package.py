"""The wheel, installed without extras: the model predicts, commands exist, and what is missing is said in one line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = "av cv2 gradio PIL pycocotools pydantic scipy skimage torchvision websockets yaml".split()
START = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv.pop(1))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed, without any of its dependencies."""
    made = tmp_path_factory.mktemp("wheel")
    for name in ("app", "solov2"):  # a copy, because setuptools keeps a build folder in what it builds
        shutil.copytree(ROOT / name, made / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, made / "copy")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", made, made / "copy"]
    subprocess.run([*pip, *map(str, build)], check=True, capture_output=True, timeout=120)
    wheel = next(made.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", made / "site", wheel], check=True, timeout=120)
    return made / "site"


def run(installed: Path, code: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code, str(installed), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def command(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(installed, "from app.__main__ import main; sys.exit(main())", cwd, *arguments)


def test_the_wheel_holds_packages_weights_and_the_page(installed: Path) -> None:
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {"solov2/weights/nano.safetensors", "app/page/page.css", "app/page/live.js"} <= names
    modules = {path.relative_to(ROOT).as_posix() for room in ("app", "solov2") for path in (ROOT / room).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_the_model_predicts_without_any_extra(installed: Path, tmp_path: Path) -> None:
    code = """
import numpy as np
import solov2
rows, columns = np.mgrid[:300, :400]
image = np.stack([rows % 256, columns % 256, (rows + columns) % 256], 2).astype(np.uint8)
found = solov2.load_model("nano").predict(image)
print(solov2.__file__, found.masks.shape[1:], len(found.boxes) == len(found))
"""
    done = run(installed, code, tmp_path)
    assert done.stdout == f"{installed / 'solov2/__init__.py'} (300, 400) True\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["webcam", "--source", "demo", "--headless"], "app"),
        (["ui", "--port", "7999"], "app"),
        (["formats", "instances.jsonl", "--format", "coco"], "app"),
        (["train", "--data", "."], "train"),
    ],
)
def test_a_missing_extra_is_one_line(arguments: list[str], extra: str, installed: Path, tmp_path: Path) -> None:
    done = command(installed, tmp_path, *arguments)
    message = rf"error: this needs (\w+), which is not installed. Try: pip install 'solov2-live\[{extra}\]'\n"
    told = re.fullmatch(message, done.stderr)
    assert done.returncode == 2
    assert told is not None, done.stderr
    assert told[1] in EXTRAS


def test_deformable_convolutions_ask_for_their_extra(installed: Path, tmp_path: Path) -> None:
    code = """
import torch
from solov2 import VARIANTS, SOLOv2
from solov2.load import check_libraries
with torch.device("meta"):
    model = SOLOv2(VARIANTS["light-r50-dcn"])
check_libraries(model)
"""
    message = "this needs torchvision, which is not installed. Try: pip install 'solov2-live[deformable]'"
    assert run(installed, code, tmp_path).stderr.endswith(f"MissingExtraError: {message}\n")


def test_the_command_names_its_version_and_completes(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "solov2-live"
    assert "app.__main__" in script.read_text()
    assert command(installed, tmp_path, "--version").stdout == "solov2-live 0.1.0\n"
    completion = command(installed, tmp_path, "--print-completion", "bash")
    assert "--headless" in completion.stdout
    assert "--learning-rate" in completion.stdout


def test_every_command_has_help_without_any_extra(installed: Path, tmp_path: Path) -> None:
    from app.__main__ import COMMANDS

    for name in COMMANDS:
        done = command(installed, tmp_path, name, "--help")
        assert (done.returncode, done.stdout[:6]) == (0, "usage:"), done.stderr
