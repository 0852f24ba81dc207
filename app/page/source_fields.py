"""The widgets that say what is streamed, and the source that they describe."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.page.choice import SourceChoice
from app.page.jobs import check_container
from app.page.site import Site
from app.sources import find_source, open_source, redact
from app.sources.browser import BrowserSource
from app.sources.camera import list_cameras
from app.sources.network import open_network
from app.sources.repeated import RepeatedSource
from app.stream.parts import Source
from app.stream_errors import SourceError
from solov2.files import PICTURE_SUFFIXES

OWN, BROWSER, CAMERA, ADDRESS, FILE, DEMO = "own", "browser", "camera", "address", "file", "demo"
NAMES = {
    OWN: "Sources of this page",
    DEMO: "Built-in clip",
    BROWSER: "This device's camera",
    ADDRESS: "Stream by address",
    FILE: "File on the server",
    CAMERA: "Camera of the server",
}
STARTS = {
    OWN: "Start these sources",
    DEMO: "Start the built-in clip",
    BROWSER: "Start this device's camera",
    ADDRESS: "Start this stream",
    FILE: "Start this file",
    CAMERA: "Start this camera",
}


@dataclass(frozen=True, slots=True)
class SourceFields:
    """The widgets of the source."""

    kind: gr.Radio
    address: gr.Textbox
    file: gr.Dropdown
    camera: gr.Dropdown
    repeat: gr.Checkbox

    def details(self) -> list[gr.components.Component]:
        """Those of which only the ones that belong to the kind are shown."""
        return [self.address, self.file, self.camera, self.repeat]


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What the widgets of the source say.

    Attributes:
        kind: a key of `NAMES`.
        address, file, camera: which one, of the kind that they belong to.
        repeat: a file, or the built-in clip, begins again when it ends.
        viewer: the visitor's browser.
    """

    kind: str
    address: str | None = None
    file: str | None = None
    camera: str | None = None
    repeat: bool = False
    viewer: str = ""


def source_fields(site: Site) -> SourceFields:
    """Make the widgets."""
    kinds = kinds_of(site)
    first = kinds[0][1]
    with gr.Group():
        kind = gr.Radio(kinds, value=first, label="Source", elem_classes="choices sources")
        address = gr.Textbox(
            label="Address", placeholder="rtsp://user:password@host/path", visible=False, lines=1, max_lines=1
        )
        file = gr.Dropdown([], label="File", visible=False, allow_custom_value=True)
        camera = gr.Dropdown([], label="Camera", visible=False, allow_custom_value=True)
        repeat = gr.Checkbox(True, label="Repeat when it ends", visible=first == DEMO)
    return SourceFields(kind, address, file, camera, repeat)


def kinds_of(site: Site) -> list[tuple[str, str]]:
    """The kinds of sources that there are for visitors of this page, as (what is shown, key)."""
    access = site.access
    are_there = {
        OWN: bool(site.own),
        DEMO: True,
        BROWSER: True,
        ADDRESS: bool(access.addresses),
        FILE: bool(access.folders),
        CAMERA: access.cameras and bool(list_cameras()),
    }
    return [(name, kind) for kind, name in NAMES.items() if are_there[kind]]


def show_details(site: Site, kind: str) -> list[Any]:
    """Return the widgets that belong to a kind of source, and the button that starts it."""
    files = file_choices(site.access.files()) if kind == FILE else []
    cameras = [str(one.number) for one in list_cameras()] if kind == CAMERA and site.access.cameras else []
    return [
        gr.Textbox(visible=kind == ADDRESS),
        gr.Dropdown(visible=kind == FILE, choices=files, value=files[0][1] if files else None),
        gr.Dropdown(visible=kind == CAMERA, choices=cameras, value=cameras[0] if cameras else None),
        gr.Checkbox(visible=kind in (DEMO, FILE)),
        gr.Button(STARTS.get(kind, "Start")),
    ]


def file_choices(paths: list[str]) -> list[tuple[str, str]]:
    """Return what is shown of each path, its name before its folder, and the path."""
    return [(f"{Path(path).name} · {Path(path).parent}", path) for path in paths]


def chosen_sources(site: Site, wish: SourceRequest) -> tuple[SourceChoice, ...]:
    """Return the sources that a visitor has chosen.

    Raises:
        SourceError: there is no such source, or visitors may not reach it.
    """
    if wish.kind == OWN and site.own:
        return site.own
    name, opens = find_single(site, wish)
    if wish.repeat and wish.kind in (DEMO, FILE):
        opens = partial(RepeatedSource, opens)
    return (SourceChoice(name, opens),)


def find_single(site: Site, wish: SourceRequest) -> tuple[str, Callable[[], Source]]:
    """Return what one source is called and what opens it; see `chosen_sources`."""
    access = site.access
    if wish.kind == DEMO:
        return "the built-in clip", find_source(DEMO)
    if wish.kind == BROWSER:
        return "the camera of a browser", partial(BrowserSource, wish.viewer)
    if wish.kind == ADDRESS:
        address = access.check_address(wish.address or "")
        return redact(address), partial(open_network, address, from_one_host=not access.reaches_all_addresses)
    if wish.kind == FILE:
        path = access.check_file(wish.file or "")
        return path, partial(open_file, path)
    if wish.kind == CAMERA:
        number = access.check_camera(wish.camera or "")
        return f"camera {number}", find_source(str(number))
    raise SourceError(f"a source is one of {', '.join(kind for _, kind in kinds_of(site))}, got {wish.kind[:20]}")


def open_file(path: str) -> Source:
    """Open a file of the server, unless it would make FFmpeg open others, as a playlist does.

    Raises:
        SourceError: it cannot be read.
    """
    if Path(path).suffix.lower() not in PICTURE_SUFFIXES:
        check_container(Path(path))
    return open_source(path)
