"""Each rule about imports is one test, which lists every offender."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("app", "solov2")
    for path in sorted((ROOT / package).rglob("*.py"))
}
MEDIA_AND_MODELS = ("torch", "torchvision", "solov2", "cv2", "av", "gradio")
STREAM_PARTS = ("app.sources", "app.processors", "app.drawing", "app.sinks")
MODEL_EXTRAS = ("solov2.data", "solov2.evaluation", "solov2.training")
COMMANDS = (
    "app.annotate",
    "app.benchmark",
    "app.formats",
    "app.ui",
    "app.webcam",
    "solov2.evaluate",
    "solov2.export",
    "solov2.train",
)


def imports_of(module: str, also_for_types: bool = True) -> set[str]:
    """Return the full names that a module imports, at any depth of its code."""
    found: set[str] = set()
    for node in _nodes(ast.parse(FILES[module].read_text()), also_for_types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
    return found


def _nodes(tree: ast.AST, also_for_types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if also_for_types or not is_for_types:
            yield node
            yield from _nodes(node, also_for_types)


def lies_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offenders(inside: tuple[str, ...], forbidden: tuple[str, ...], also_for_types: bool = True) -> list[str]:
    """Return "importer -> imported" for each module of `inside` that imports from `forbidden`."""
    return [
        f"{module} -> {name}"
        for module in FILES
        if lies_in(module, *inside)
        for name in sorted(imports_of(module, also_for_types))
        if lies_in(name, *forbidden)
    ]


def test_the_model_knows_nothing_of_the_stream() -> None:
    assert offenders(("solov2",), ("app", "av", "gradio")) == []


def test_the_core_of_the_model_knows_nothing_of_data_evaluation_and_training() -> None:
    core = tuple(name for name in FILES if lies_in(name, "solov2") and not lies_in(name, *MODEL_EXTRAS, *COMMANDS))
    assert "solov2.load" in core
    core = tuple(name for name in core if name != "solov2")  # `lies_in` would count the whole package
    assert offenders(core, MODEL_EXTRAS) == []


def test_the_parts_of_the_stream_do_not_know_one_another() -> None:
    for part in STREAM_PARTS:
        others = tuple(other for other in STREAM_PARTS if other != part)
        assert offenders((part,), others) == []


def test_the_data_flow_is_free_of_media_and_model_libraries() -> None:
    found = offenders(("app.stream",), MEDIA_AND_MODELS, also_for_types=False)
    assert [one for one in found if "-> solov2.ordered_map" not in one] == []  # which imports nothing but threads
    assert {name.split(".")[0] for name in imports_of("solov2.ordered_map")} <= sys.stdlib_module_names


def test_the_data_flow_knows_none_of_its_parts() -> None:
    assert offenders(("app.stream",), (*STREAM_PARTS, "app.annotation", "app.page")) == []


def test_the_parts_know_neither_annotation_nor_the_page_nor_a_command() -> None:
    assert offenders(STREAM_PARTS, ("app.annotation", "app.page", *COMMANDS)) == []


def test_only_the_command_knows_the_page() -> None:
    others = tuple(name for name in FILES if lies_in(name, "app") and not lies_in(name, "app.page", "app.ui"))
    assert offenders(tuple(name for name in others if name != "app"), ("app.page", "app.ui")) == []


def test_no_import_is_relative() -> None:
    assert [f"{module} -> {name}" for module in FILES for name in imports_of(module) if name.startswith(".")] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [name for name, path in FILES.items() if path.stem in {"utils", "misc", "common", "helpers"}] == []


def test_no_module_directly_in_app_hides_a_library() -> None:
    """`gradio app/ui.py` puts app/ first on the import path."""
    libraries = sys.stdlib_module_names | {"av", "cv2", "gradio", "numpy", "skimage", "torch", "torchvision", "tqdm"}
    assert [name for name, path in FILES.items() if path.parent == ROOT / "app" and path.stem in libraries] == []


def test_no_two_modules_bear_the_same_name() -> None:
    stems = Counter(path.stem for path in FILES.values())
    del stems["__init__"]
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {}
    for module in FILES:
        names = imports_of(module, also_for_types=False)
        graph[module] = {found for name in names for found in (name, name.rpartition(".")[0]) if found in FILES}
        graph[module] -= {module, *(name for name in FILES if lies_in(module, name))}  # a package holds its modules
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_importing_the_model_imports_nothing_that_python_runs_as_a_command() -> None:
    seen: set[str] = set()
    waiting = ["solov2", "solov2.load", "solov2.network.model"]
    while waiting:
        module = waiting.pop()
        if module in FILES and module not in seen:
            seen.add(module)
            waiting += [found for name in imports_of(module) for found in (name, name.rpartition(".")[0])]
    assert {"solov2.load", "solov2.checkpoints.published"} <= seen
    assert [name for name in sorted(seen) if '__name__ == "__main__"' in FILES[name].read_text()] == []
