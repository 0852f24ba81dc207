"""The Live tab: one stream for all visitors, what it comes from, and how it is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.page.jobs import check_container
from app.page.site import Site
from app.page.stream_runner import Choice
from app.sources import find_source, open_source, redact
from app.sources.browser import BrowserSource
from app.sources.camera import list_cameras
from app.sources.network import open_network
from app.sources.repeated import RepeatedSource
from app.stream.parts import Source
from app.stream_errors import SourceError
from solov2 import SOLOv2Error
from solov2.files import PICTURE_SUFFIXES
from solov2.runtime.device import find_device

BROWSER, CAMERA, ADDRESS, FILE, DEMO = "browser", "camera", "address", "file", "demo"
KINDS = [
    ("Built-in clip", DEMO),
    ("This device's camera", BROWSER),
    ("Stream by address", ADDRESS),
    ("File on the server", FILE),
    ("Camera of the server", CAMERA),
]
SHOWN = [("Masks", "show_masks"), ("Boxes", "show_boxes"), ("Labels", "show_labels"), ("Read-out", "show_readout")]
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STEERING = QUICK | {"trigger_mode": "always_last"}  # what is touched while the touch before is on its way counts, too
FOLLOW_ID = "follow-controls"
WITH_VIEWER = "(...given) => [...given.slice(0, -1), window.solov2.viewer]"

VIEW = """
<section class="live" data-mount="live" data-state="idle" aria-label="Live stream">
  <div class="stage" data-part="stage">
    <canvas data-part="canvas" role="img" aria-label="The stream with its instances marked"></canvas>
    <p class="note" data-part="note" role="status"></p>
  </div>
  <div class="bar">
    <button type="button" data-part="pause" disabled>Pause</button>
    <button type="button" data-part="stop" disabled>Stop</button>
    <a data-part="snapshot" href="live/snapshot.png" download inert>Snapshot</a>
    <button type="button" data-part="record" aria-pressed="false" disabled>Record</button>
    <a data-part="download" href="live/recording.mp4" download hidden>Download recording</a>
  </div>
  <p class="problem" data-part="problem" role="alert"></p>
  <dl class="figures">
    <div><dt>Capture</dt><dd><span data-part="capture">0</span> <small>fps</small></dd></div>
    <div><dt>Inference</dt><dd><span data-part="inference">0</span> <small>fps</small></dd></div>
    <div><dt>Display</dt><dd><span data-part="display">0</span> <small>fps</small></dd></div>
    <div><dt>Age</dt><dd><span data-part="age">0</span> <small>ms</small></dd></div>
    <div><dt>Lost</dt><dd><span data-part="lost">0</span> <small>frames</small></dd></div>
  </dl>
  <ul class="counts" data-part="counts" aria-label="Instances by class"></ul>
</section>
"""


@dataclass(frozen=True, slots=True)
class SourceFields:
    """The widgets that say what is streamed."""

    kind: gr.Radio
    address: gr.Textbox
    file: gr.Dropdown
    camera: gr.Dropdown
    repeat: gr.Checkbox

    def details(self) -> list[gr.components.Component]:
        """Those of which only the ones that belong to the kind are shown."""
        return [self.address, self.file, self.camera, self.repeat]


def live_tab(site: Site) -> None:
    """Put the tab's content into the Gradio block that is being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            gr.HTML(VIEW, js_on_load=None, apply_default_css=False)
        with gr.Column(scale=1, min_width=300):
            fields = source_fields()
            start = gr.Button("Start", variant="primary", size="lg")
            refusal = gr.HTML(js_on_load=None, apply_default_css=False)
            with gr.Group(), gr.Row():
                model, device = model_fields(site)
            controls = control_fields(site, model)
    viewer = gr.Textbox(visible=False)
    fields.kind.change(partial(show_details, site), fields.kind, fields.details(), **QUICK)
    inputs = [fields.kind, *fields.details(), model, device, viewer]
    for event in (start.click, fields.address.submit):
        event(partial(begin, site), inputs, refusal, js=WITH_VIEWER, **QUICK)
    for field in (model, device):
        field.input(partial(switch, site), [model, device], **STEERING)
    follow = gr.Button(visible="hidden", elem_id=FOLLOW_ID)  # pressed by the page, when others changed something
    follow.click(partial(current_controls_of, site), None, [*controls, model, device], **QUICK)


def source_fields() -> SourceFields:
    """Make the widgets for the source."""
    with gr.Group():
        kind = gr.Radio(KINDS, value=DEMO, label="Source", elem_classes="choices sources")
        address = gr.Textbox(
            label="Address", placeholder="rtsp://user:password@host/path", visible=False, lines=1, max_lines=1
        )
        file = gr.Dropdown([], label="File", visible=False, allow_custom_value=True)
        camera = gr.Dropdown([], label="Camera", visible=False, allow_custom_value=True)
        repeat = gr.Checkbox(True, label="Repeat when it ends")
    return SourceFields(kind, address, file, camera, repeat)


def model_fields(site: Site) -> tuple[gr.Dropdown, gr.Dropdown]:
    """Make the widgets for the model and its device."""
    names = site.engine.models.names
    model = gr.Dropdown(list(names), value=names[0], label="Model", min_width=120)
    device = gr.Dropdown(devices(), value="auto", label="Device", min_width=120)
    return model, device


def devices() -> list[tuple[str, str]]:
    """The devices that there are, as (what is shown, name)."""
    import torch

    found = find_device("auto")
    cuda = [(torch.cuda.get_device_name(number), f"cuda:{number}") for number in range(torch.cuda.device_count())]
    return [(f"Auto ({found})", "auto"), ("CPU", "cpu"), *cuda]


def control_fields(site: Site, model: gr.Dropdown) -> list[gr.components.Component]:
    """Make the widgets that steer what is shown; each takes effect with the next frame. Return them."""
    panel = site.engine.panel
    current = panel.current
    with gr.Group():
        score = gr.Slider(0.05, 1, current.score_threshold, step=0.05, label="Least score")
        classes = gr.Dropdown(known_classes(site, model.value), multiselect=True, label="Classes (none means all)")
        drawn = [name for _, name in SHOWN if getattr(current, name)]
        shown = gr.CheckboxGroup(SHOWN, value=drawn, label="Show", elem_classes="choices shown")
        opacity = gr.Slider(0, 1, current.opacity, step=0.05, label="Opacity of masks")
        track = gr.Checkbox(current.track, label="Track instances")
    set_field = partial(set_control, site)
    score.input(partial(set_field, "score_threshold"), score, **STEERING)
    opacity.input(partial(set_field, "opacity"), opacity, **STEERING)
    track.input(partial(set_field, "track"), track, **STEERING)
    classes.input(lambda chosen: panel.update(classes=frozenset(chosen) or None) and None, classes, **STEERING)
    shown.input(lambda chosen: panel.update(**{name: name in chosen for _, name in SHOWN}) and None, shown, **STEERING)
    model.input(partial(offer_classes, site), model, classes, **STEERING)
    return [score, classes, shown, opacity, track]


def current_controls_of(site: Site) -> list[Any]:
    """Return what the widgets of the controls, the model and the device are to show, no matter who has set it."""
    current, choice = site.engine.panel.current, site.engine.choice
    chosen = sorted(current.classes or ())
    shown = [name for _, name in SHOWN if getattr(current, name)]
    if choice is None or not site.engine.is_running:  # then model and device are each visitor's own
        classes, model, device = gr.Dropdown(value=chosen), gr.skip(), gr.skip()
    else:
        classes = gr.Dropdown(choices=known_classes(site, choice.model), value=chosen)
        model, device = choice.model, choice.device
    return [current.score_threshold, classes, shown, current.opacity, current.track, model, device]


def known_classes(site: Site, model_name: str) -> list[str]:
    """The classes of a model, or none where only loading it would tell."""
    from solov2 import VARIANTS

    choice = site.engine.choice
    if choice is not None and choice.model == model_name and site.engine.class_names:
        return list(site.engine.class_names)
    return list(VARIANTS[model_name].class_names) if model_name in VARIANTS else []


def set_control(site: Site, name: str, value: float | bool) -> None:
    """Let one control have another value."""
    try:
        site.engine.panel.update(**{name: value})
    except (ValueError, TypeError) as error:
        raise gr.Error(str(error), print_exception=False) from error


def offer_classes(site: Site, model_name: str) -> Any:
    """Offer the classes of a model; of those chosen, keep what it knows. Also called when nothing has changed."""
    known = known_classes(site, model_name)
    kept = sorted(set(known) & (site.engine.panel.current.classes or set()))
    site.engine.panel.update(classes=frozenset(kept) or None)
    return gr.Dropdown(choices=known, value=kept)


def show_details(site: Site, kind: str) -> list[Any]:
    """Show the widgets that belong to a kind of source."""
    files = site.access.files() if kind == FILE else []
    cameras = [str(one.number) for one in list_cameras()] if kind == CAMERA and site.access.cameras else []
    return [
        gr.Textbox(visible=kind == ADDRESS),
        gr.Dropdown(visible=kind == FILE, choices=files, value=files[0] if files else None),
        gr.Dropdown(visible=kind == CAMERA, choices=cameras, value=cameras[0] if cameras else None),
        gr.Checkbox(visible=kind in (DEMO, FILE)),
    ]


def begin(
    site: Site,
    kind: str,
    address: str | None,
    file: str | None,
    camera: str | None,
    repeat: bool,
    model: str,
    device: str,
    viewer: str,
) -> str:
    """Start the stream that the widgets describe; return why not, as HTML, or nothing."""
    try:
        name, open_source = chosen_source(
            site, kind, (address if kind == ADDRESS else file if kind == FILE else camera) or "", viewer
        )
        if repeat and kind in (DEMO, FILE):
            open_source = partial(RepeatedSource, open_source)
        site.engine.start(Choice(name, open_source, model, device))
    except SOLOv2Error as error:
        return problem(str(error))
    return ""


def problem(sentence: str) -> str:
    """Return what went wrong as HTML that is read out at once."""
    return f'<p class="problem" role="alert">{escape(sentence[:1].upper() + sentence[1:])}</p>'


def chosen_source(site: Site, kind: str, detail: str, viewer: str) -> tuple[str, Callable[[], Source]]:
    """Return what a choice is called and what opens it.

    Raises:
        SourceError: there is no such source, or visitors may not reach it.
    """
    access = site.access
    if kind == DEMO:
        return "the built-in clip", find_source(DEMO)
    if kind == BROWSER:
        return "the camera of a browser", partial(BrowserSource, viewer)
    if kind == ADDRESS:
        address = access.check_address(detail)
        return redact(address), partial(open_network, address, from_one_host=not access.reaches_all_addresses)
    if kind == FILE:
        path = access.check_file(detail)
        return path, partial(open_file, path)
    if kind == CAMERA:
        number = access.check_camera(detail)
        return f"camera {number}", find_source(str(number))
    raise SourceError(f"a source is one of {', '.join(value for _, value in KINDS)}, got {kind}")


def open_file(path: str) -> Source:
    """Open a file of the server, unless it would make FFmpeg open others, as a playlist does.

    Raises:
        SourceError: it cannot be read.
    """
    if Path(path).suffix.lower() not in PICTURE_SUFFIXES:
        check_container(Path(path))
    return open_source(path)


def switch(site: Site, model: str, device: str) -> None:
    """Let another model see the stream."""
    site.engine.switch(model, device)
