"""The About tab: what runs here, and what the built-in model can and cannot do."""

import importlib.metadata
import platform
from importlib.resources import files

import gradio as gr

from app.page.live_tab import devices

LIBRARIES = ("torch", "torchvision", "opencv-python", "av", "gradio", "numpy")


def about_tab() -> None:
    """Put the tab's content into the Gradio block that is being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(files("solov2.weights").joinpath("nano.md").read_text(encoding="utf-8"), elem_classes="about")
        with gr.Column(scale=1, min_width=280):
            gr.Markdown(versions(), elem_classes="about")


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
