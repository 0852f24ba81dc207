import json
import re
from pathlib import Path
from xml.etree import ElementTree

from solov2.training.report import write_report

FIGURES = {"AP": 0.4, "AP50": 0.6, "classes": {"a <b>": {"AP": 0.4, "AP50": 0.6}, "unseen": {"AP": -1.0, "AP50": -1.0}}}


def write_log(out: Path, *lines: dict[str, object]) -> None:
    out.mkdir()
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def step(number: int, mask: float) -> dict[str, object]:
    return {"step": number, "mask_loss": mask, "category_loss": mask / 2, "seconds": 1.0}


def validation(number: int, epoch: int, ap: float) -> dict[str, object]:
    return {"step": number, "epoch": epoch, "seconds": 90.0, "validation": FIGURES | {"AP": ap}}


def line_points(page: str, colour: str, graph: int) -> list[tuple[float, float]]:
    svg = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", page)[graph])
    line = next(shape for shape in svg if shape.get("stroke") == colour)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def test_the_curves_go_through_the_logged_points(tmp_path: Path) -> None:
    write_log(tmp_path / "run", step(20, 2.0), step(40, 1.0), validation(40, 1, 0.3), validation(80, 2, 0.6))
    page = write_report(tmp_path / "run", ["run it"]).read_text()
    assert line_points(page, "#c2410c", 0) == [(250.0, 40.0), (460.0, 110.0)]
    assert line_points(page, "#1d4ed8", 1) == [(250.0, 110.0), (460.0, 40.0)]


def test_a_run_that_went_back_to_its_last_save_shows_each_step_once(tmp_path: Path) -> None:
    write_log(tmp_path / "run", step(20, 2.0), step(40, 9.0), step(20, 2.0), step(40, 1.0))
    page = write_report(tmp_path / "run", []).read_text()
    assert len(line_points(page, "#c2410c", 0)) == 2
    assert "9.00" not in page


def test_the_best_epoch_is_told_with_its_classes_and_names_are_escaped(tmp_path: Path) -> None:
    write_log(tmp_path / "run", validation(40, 1, 0.5), validation(80, 2, 0.2))
    page = write_report(tmp_path / "run", ["a && b"]).read_text()
    assert "mask AP 0.500, AP50 0.600 after epoch 1, 1.5 minutes" in page
    assert "<td>a &lt;b&gt;</td><td>0.400</td>" in page
    assert "<td>unseen</td><td>no instance to find</td>" in page
    assert "<pre>a &amp;&amp; b</pre>" in page


def test_a_run_too_short_to_have_logged_anything_has_a_report(tmp_path: Path) -> None:
    write_log(tmp_path / "run")
    assert "What next" in write_report(tmp_path / "run", []).read_text()
