import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for package in ("app", "solov2") for path in (ROOT / package).rglob("*.py"))
PARTS = ("sources", "segmenter", "tracker", "renderer", "sinks")
FLOW = ("channel", "errors", "frames", "pipeline", "stats")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, also_for_types: bool = True) -> set[str]:
    """The full names of the modules that a file imports, at any depth."""
    found: set[str] = set()
    for node in nodes_of(ast.parse(path.read_text()), also_for_types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def nodes_of(tree: ast.AST, also_for_types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if also_for_types or not is_for_types:
            yield node
            yield from nodes_of(node, also_for_types)


def imported_from(imports: set[str], package: str) -> set[str]:
    return {name for name in imports if name == package or name.startswith(f"{package}.")}


def part_of(module: str) -> str | None:
    return next((part for part in PARTS if imported_from({module}, f"app.{part}")), None)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_model_knows_nothing_of_the_stream(path: Path) -> None:
    if name_of(path).startswith("solov2"):
        for package in ("app", "av", "gradio"):
            assert not imported_from(imports_of(path), package), f"{path} imports {package}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_parts_of_the_stream_do_not_know_one_another(path: Path) -> None:
    part = part_of(name_of(path))
    if part is not None:
        others = {name for name in imports_of(path) if part_of(name) not in (None, part)}
        assert not others, f"{path} imports {others}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_data_flow_is_free_of_media_and_model_libraries(path: Path) -> None:
    if name_of(path) in {f"app.{module}" for module in FLOW}:
        for package in ("torch", "torchvision", "solov2", "cv2", "av", "gradio"):
            assert not imported_from(imports_of(path, also_for_types=False), package), f"{path} imports {package}"
        parts = {name for name in imports_of(path) if part_of(name)}
        assert not parts, f"{path} imports {parts}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_a_drawer_for_everything_or_hides_a_library(path: Path) -> None:
    assert path.stem not in {"utils", "misc", "common", "helpers"}
    if path.parent == ROOT / "app" and path.stem != "__init__":
        hidden = sys.stdlib_module_names | {"av", "cv2", "gradio", "numpy", "skimage", "torch", "torchvision", "tqdm"}
        assert path.stem not in hidden, f"{path} hides the module {path.stem} when app/ is first on the import path"


def test_the_rules_were_asked_about_both_packages() -> None:
    names = {name_of(path) for path in MODULES}
    assert {"app.pipeline", "app.sources.video", "solov2.model"} <= names


def test_importing_the_model_imports_nothing_that_python_runs_as_a_command() -> None:
    files = {name_of(path): path for path in MODULES}
    seen, waiting = set(), ["solov2"]
    while waiting:
        module = waiting.pop()
        if module in files and module not in seen:
            seen.add(module)
            names = imports_of(files[module])
            waiting += [*names, *(name.rpartition(".")[0] for name in names)]
    assert {"solov2.load", "solov2.published"} <= seen
    commands = [name for name in seen if '__name__ == "__main__"' in files[name].read_text()]
    assert not commands, f"python -m {commands[0]} would warn that it was imported before"
