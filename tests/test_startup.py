"""What is imported when: help and mistakes need no slow library, the default model none that it does not use.

The time itself depends on the machine; `python -m benchmarks.startup` measures it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import COMMANDS

SLOW = ("av", "cv2", "gradio", "numpy", "scipy", "skimage", "torch", "torchvision", "tqdm")
UNUSED = ("gradio", "scipy", "skimage.io", "torch._dynamo", "torchvision")


def imported(code: str, *arguments: object) -> set[str]:
    """Run `code` in a process of its own; return the names of all modules that it imported."""
    watched = f"import sys\ntry:\n    {code}\nfinally:\n    print('MODULES', *sys.modules)"
    command = [sys.executable, "-c", watched, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
    assert done.returncode in (0, 2), done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("module", ["app.__main__", *(module for module, _ in COMMANDS.values())])
@pytest.mark.parametrize("option", ["--help", "--loud"])
def test_help_and_an_unknown_option_import_nothing_slow(module: str, option: str) -> None:
    assert imported(f"from {module} import main; main(['{option}'])") & set(SLOW) == set()


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("app.webcam", ["--source", "nowhere.mp4"]),
        ("app.webcam", ["--source", "demo", "--model", "nona"]),
        ("app.webcam", ["--source", "demo", "--device", "gpu"]),
        ("app.webcam", ["--source", "demo", "--save", "out.avi"]),
        ("app.annotate", ["clips", "--out", "out", "--format", "cocoa"]),
        ("app.benchmark", ["--dtype", "half"]),
        ("app.formats", ["lines.jsonl", "--format", "cocoa"]),
        ("solov2.train", ["--variant", "nona"]),
        ("solov2.train", []),
        ("solov2.evaluate", ["--model", "nona", "--annotations", "a.json"]),
        ("solov2.zoo", ["download", "nona"]),
    ],
)
def test_a_mistake_is_found_before_anything_slow_is_imported(module: str, options: list[str]) -> None:
    assert imported(f"from {module} import main; assert main({options}) == 2") & set(SLOW) == set()


def test_the_first_frame_of_the_built_in_clip_imports_only_what_it_uses(tmp_path: Path) -> None:
    options = ["--source", "demo", "--headless", "--max-frames", "1", "--save", str(tmp_path / "out.mp4")]
    modules = imported(f"from app.webcam import main; assert main({options}) == 0")
    assert {"torch", "av", "solov2.instances"} <= modules
    assert modules & set(UNUSED) == set()


def test_recognising_the_variant_of_weights_imports_neither_torchvision_nor_dynamo() -> None:
    modules = imported("from solov2.checkpoints.identify import identify_variant; identify_variant({})")
    assert modules & set(UNUSED) == set()
