"""A training run on one page that needs no other file: curves, figures, pictures, and the commands that follow."""

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from solov2.files import writing

Points = Sequence[tuple[float, float]]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
svg { width: 100%; max-width: 31rem; background: #f6f7f9; border-radius: 6px; margin: 0 .5rem .5rem 0 }
img { width: 100%; border-radius: 6px } th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
table.pictures { width: 100%; table-layout: fixed } pre { background: #f6f7f9; padding: .8rem; overflow-x: auto }
"""
_COLOURS = ("#c2410c", "#1d4ed8")
_WIDTH, _HEIGHT, _MARGIN = 500, 220, 40


def write_report(out: Path, commands: Sequence[str]) -> Path:
    """Write `report.html` into a run's folder, from its `log.jsonl` and `pictures/`.

    Args:
        out: the run's folder.
        commands: to show, such as the one that runs the model live.

    Returns:
        The page's path.
    """
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = list({line["step"]: line for line in lines if "mask_loss" in line}.values())
    validations = list({line["step"]: line for line in lines if "validation" in line}.values())
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{escape(out.name)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(out.name)}</h1>",
        _curve("loss", {name: _points(steps, f"{name}_loss") for name in ("mask", "category")}),
    ]
    if validations:
        figures = [{"step": line["step"], **line["validation"]} for line in validations]
        parts.append(_curve("validation", {name: _points(figures, name) for name in ("AP50", "AP")}))
        best = max(validations, key=lambda line: (line["validation"]["AP"], line["step"]))
        parts += [_summary(best), _class_table(best["validation"]), _pictures(out / "pictures", best["epoch"])]
    parts += ["<h2>What next</h2>", *(f"<pre>{escape(command)}</pre>" for command in commands)]
    path = out / "report.html"
    with writing(path):
        path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _points(lines: Sequence[dict[str, Any]], key: str) -> Points:
    return [(line["step"], max(line[key], 0.0)) for line in lines]


def _curve(title: str, series: dict[str, Points]) -> str:
    """Return an SVG of lines over the steps, from zero to the largest value."""
    points = [point for line in series.values() for point in line]
    right, top = max((x for x, _ in points), default=1), max((y for _, y in points), default=1) or 1
    across, up = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    shapes = [
        f'<polyline points="{_MARGIN},{_MARGIN} {_MARGIN},{_MARGIN + up} {_MARGIN + across},{_MARGIN + up}" '
        'fill="none" stroke="#999"/>',
        _text(_MARGIN, 22, title),
        _text(4, _MARGIN + 5, f"{top:.2f}"),
        _text(_MARGIN + across - 30, _HEIGHT - 18, f"step {right:g}"),
    ]
    for number, ((name, line), colour) in enumerate(zip(series.items(), _COLOURS, strict=True)):
        placed = " ".join(f"{_MARGIN + across * x / right:.1f},{_MARGIN + up * (1 - y / top):.1f}" for x, y in line)
        shapes.append(f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes.append(_text(_MARGIN + 140 + 110 * number, 22, name, colour))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{"".join(shapes)}</svg>'


def _text(x: float, y: float, text: str, colour: str = "#444") -> str:
    return f'<text x="{x}" y="{y}" font-size="13" fill="{colour}">{escape(text)}</text>'


def _summary(best: dict[str, Any]) -> str:
    minutes, measured = best["seconds"] / 60, best.get("measured", "mask")
    return (
        f"<p>Best: {measured} AP {best['validation']['AP']:.3f}, AP50 {best['validation']['AP50']:.3f} after epoch "
        f"{best['epoch']}, {minutes:.1f} minutes of training.</p>"
    )


def _class_table(metrics: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_figure(values['AP'])}</td><td>{_figure(values['AP50'])}</td></tr>"
        for name, values in metrics["classes"].items()
    )
    return f"<table><tr><th>class</th><th>AP</th><th>AP50</th></tr>{rows}</table>"


def _figure(value: float) -> str:
    return "no instance to find" if value < 0 else f"{value:.3f}"


def _pictures(folder: Path, best_epoch: int) -> str:
    """Return a row for each picture: what was labelled, found before the training, and found at its best."""
    columns = {"labelled": "labels", "before": "epoch000", f"after epoch {best_epoch}": f"epoch{best_epoch:03}"}
    numbers = sorted(int(path.name.partition("-")[0]) for path in folder.glob("*-labels.jpg"))
    rows = ["<tr>" + "".join(f"<th>{title}</th>" for title in columns) + "</tr>"]
    for number in numbers:
        files = (folder / f"{number}-{part}.jpg" for part in columns.values())
        rows.append("<tr>" + "".join(f"<td>{_embedded(file)}</td>" for file in files) + "</tr>")
    return f'<h2>Validation pictures</h2><table class="pictures">{"".join(rows)}</table>'


def _embedded(path: Path) -> str:
    if not path.exists():
        return ""
    return (
        f'<img alt="{escape(path.stem)}" src="data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}">'
    )
