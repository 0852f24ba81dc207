"""The About tab: what this is, what the built-in model cannot do, and what runs here."""

import importlib.metadata
import platform
from importlib.resources import files

import gradio as gr

from app.page.live_tab import devices

LIBRARIES = ("torch", "torchvision", "opencv-python", "av", "gradio", "numpy")


WHAT_IT_IS = """## What it is

This page finds people, animals and things in pictures, and draws the outline of each. The built-in model knows 80
kinds. **Live** does it with cameras, streams and files while they run, **Video** with whole files, **Picture** with one
picture. Everything is computed on the machine that serves the page.
"""
LIMITS_HEADING = "## Limits"


def about_tab() -> None:
    """Put the tab's content into the Gradio block that is being built: what it is, its limits, the model's card."""
    card = files("solov2.weights").joinpath("nano.md").read_text(encoding="utf-8")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(f"{WHAT_IT_IS}\n{limits_of(card)}", elem_classes="about")
            with gr.Accordion("Model card of nano: figures, training, data", open=False):
                gr.Markdown(card, elem_classes="about")
        with gr.Column(scale=1, min_width=280):
            gr.Markdown(versions(), elem_classes="about")


def limits_of(card: str) -> str:
    """Return what a model's card says under "Limits", under a heading that names the model."""
    _, heading, rest = card.partition(f"\n{LIMITS_HEADING}\n")
    text, *_ = rest.partition("\n## ")
    return f"{LIMITS_HEADING} of the built-in model\n{text.rstrip()}\n" if heading else ""


def versions() -> str:
    """Return a table of what runs here, in Markdown."""
    rows = [("solov2-live", version("solov2-live")), ("Python", platform.python_version())]
    rows += [(name, version(name)) for name in LIBRARIES]
    rows += [("Device", text) for text, name in devices() if name != "auto"]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## What runs here\n\n| | |\n|---|---|\n{table}\n"


def version(name: str) -> str:
    """The version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"
