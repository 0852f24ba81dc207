"""The Live tab: one stream for all visitors, what it comes from, and how it is shown."""

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from app.page.choice import Choice
from app.page.effect_fields import EffectFields, effect_fields, effects_of, show_effect_details, shown_effects
from app.page.site import Site
from app.page.source_fields import STARTS, SourceFields, SourceRequest, chosen_sources, show_details, source_fields
from app.page.stream_runner import ALL
from solov2 import SOLOv2Error
from solov2.runtime.device import find_device

SHOWN = [("Masks", "show_masks"), ("Boxes", "show_boxes"), ("Labels", "show_labels"), ("Read-out", "show_readout")]
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LATEST = QUICK | {"trigger_mode": "always_last"}  # what is touched while the touch before is on its way counts, too
FOLLOW_ID = "follow-controls"
WITH_VIEWER = "(...given) => [...given.slice(0, -1), window.solov2.viewer]"
WITH_LOOK = "(...given) => [...given.slice(0, -1), window.solov2.look]"  # the source that is looked at, or -1
TELL_KIND = "(kind) => { window.solov2.choose(kind); return kind; }"

VIEW = """
<section class="live" data-mount="live" data-state="idle" aria-label="Live stream">
  <div class="stage" data-part="stage">
    <img class="poster" data-part="poster" src="live/first-frame.jpg" alt="The first frame of the built-in clip" hidden>
    <div class="tiles" data-part="tiles"></div>
    <template data-part="tile"><figure class="tile">
      <canvas data-part="canvas" role="img"></canvas>
      <figcaption class="badge" data-part="badge" hidden>
        <i aria-hidden="true"></i><b data-part="name"></b><span data-part="state"></span></figcaption>
      <button type="button" class="enlarge" data-part="enlarge" hidden></button>
    </figure></template>
    <button type="button" class="all" data-part="all" hidden>Show all</button>
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
    <div><dt>Capture</dt><dd><span data-part="capture">-</span> <small>fps</small></dd></div>
    <div><dt>Inference</dt><dd><span data-part="inference">-</span> <small>fps</small></dd></div>
    <div><dt>Display</dt><dd><span data-part="display">-</span> <small>fps</small></dd></div>
    <div><dt>Age</dt><dd><span data-part="age">-</span> <small>ms</small></dd></div>
    <div><dt>Skipped</dt><dd><span data-part="skipped">0</span> <small>frames</small></dd></div>
  </dl>
  <p class="losses" data-part="losses" hidden></p>
  <ul class="counts" data-part="counts" aria-label="Instances by class"></ul>
</section>
"""


def live_tab(site: Site) -> None:
    """Put the tab's content into the Gradio block that is being built."""
    with gr.Row(equal_height=False, elem_classes="live-row"):
        with gr.Column(scale=3, min_width=320, elem_classes="live-column"):
            gr.HTML(VIEW, js_on_load=None, apply_default_css=False)
        with gr.Column(scale=1, min_width=300):
            fields = source_fields(site)
            start = gr.Button(STARTS[str(fields.kind.value)], variant="primary", size="lg", elem_id="start")
            refusal = gr.HTML(js_on_load=None, apply_default_css=False)
            with gr.Group(), gr.Row():
                model, device = model_fields(site)
            look = gr.Number(ALL, visible=False)  # filled in by the page's script
            controls = control_fields(site, model, look)
    connect_start(site, fields, start, (model, device, refusal))
    for field in (model, device):
        field.input(partial(switch, site), [model, device], **LATEST)
    follow = gr.Button(visible="hidden", elem_id=FOLLOW_ID)  # pressed by the page's script, when controls have changed
    follow.click(partial(current_controls_of, site), look, [*controls, model, device], js=WITH_LOOK, **QUICK)


def connect_start(
    site: Site, fields: SourceFields, start: gr.Button, others: tuple[gr.Dropdown, gr.Dropdown, gr.HTML]
) -> None:
    """Let the button, and the key Enter in the address, start what the widgets describe.

    Args:
        site: whose stream it is.
        fields: the source.
        start: the button.
        others: the model, the device, and what shows why it was refused.
    """
    model, device, refusal = others
    viewer = gr.Textbox(visible=False)

    def begin_visitor_stream(*values: Any) -> str:
        kind, address, file, camera, repeat, model_name, device_name, viewer_id = values
        wish = SourceRequest(kind, address=address, file=file, camera=camera, repeat=repeat, viewer=viewer_id)
        return begin(site, wish, model_name, device_name)

    fields.kind.change(partial(show_details, site), fields.kind, [*fields.details(), start], js=TELL_KIND, **QUICK)
    inputs = [fields.kind, *fields.details(), model, device, viewer]
    for event in (start.click, fields.address.submit):
        event(begin_visitor_stream, inputs, refusal, js=WITH_VIEWER, **QUICK)


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


def control_fields(site: Site, model: gr.Dropdown, look: gr.Number) -> list[gr.components.Component]:
    """Make the widgets that say what is shown; each takes effect with the next frame. Return them."""
    current = site.engine.panel_of().current
    with gr.Group():
        score = gr.Slider(0.05, 1, current.score_threshold, step=0.05, label="Confidence")
        classes = gr.Dropdown(
            known_classes(site, model.value), multiselect=True, label="Classes", elem_classes="all-if-empty"
        )
        drawn = [name for _, name in SHOWN if getattr(current, name)]
        shown = gr.CheckboxGroup(SHOWN, value=drawn, label="Show", elem_classes="choices shown")
        opacity = gr.Slider(0, 1, current.opacity, step=0.05, label="Opacity of masks")
        track = gr.Checkbox(current.track, label="Track instances")
        fixed = site.engine.fixed_effects
        effect = effect_fields(known_classes(site, model.value), has_background=True, visible=not fixed)
        if fixed:
            gr.HTML(f'<p class="hint">Effects of this page: {escape(", ".join(one.kind for one in fixed))}</p>')
    connect_effect(site, effect, look)

    def connect(field: Any, changes_of: Callable[[Any], dict[str, Any]]) -> None:
        def change(value: Any, source: float | None) -> None:
            try:
                site.engine.panel_of(source_number(source)).update(**changes_of(value))
            except (ValueError, TypeError) as error:
                raise gr.Error(str(error), print_exception=False) from error

        field.input(change, [field, look], js=WITH_LOOK, **LATEST)

    connect(score, lambda value: {"score_threshold": value})
    connect(opacity, lambda value: {"opacity": value})
    connect(track, lambda value: {"track": value})
    connect(classes, lambda value: {"classes": frozenset(value) or None})
    connect(shown, lambda value: {name: name in value for _, name in SHOWN})
    model.input(partial(offer_classes, site), [model, look], [classes, effect.classes], js=WITH_LOOK, **LATEST)
    return [score, classes, shown, opacity, track, *effect.all()]


def connect_effect(site: Site, fields: EffectFields, look: gr.Number) -> None:
    """Let the widgets of the effect change that of the source that is looked at."""

    def change(kind: str, classes: list[str], picture: str | None, source: float | None) -> None:
        try:
            effects = effects_of(site, kind, classes or (), picture)
            if effects is not None:
                site.engine.set_effects(effects, source_number(source))
        except SOLOv2Error as error:
            raise gr.Error(str(error), print_exception=False) from error

    inputs = [*fields.all(), look]
    fields.kind.input(show_effect_details, fields.kind, [fields.classes, fields.picture], **QUICK)
    for event in (fields.kind.input, fields.classes.input, fields.picture.upload):
        event(change, inputs, js=WITH_LOOK, **LATEST)


def current_controls_of(site: Site, source: float | None) -> list[Any]:
    """Return what the widgets of the controls, the model and the device are to show, no matter who has set it."""
    engine = site.engine
    current, choice = engine.panel_of(source_number(source)).current, engine.loading or engine.choice
    chosen = sorted(current.classes or ())
    shown = [name for _, name in SHOWN if getattr(current, name)]
    if choice is None or not engine.is_running:  # then model and device are each visitor's own
        classes, model, device = gr.Dropdown(value=chosen), gr.skip(), gr.skip()
    else:
        classes = gr.Dropdown(choices=known_classes(site, choice.model), value=chosen)
        model, device = choice.model, choice.device
    effect = shown_effects(current.effects) if not engine.fixed_effects else [gr.skip()] * 3
    return [current.score_threshold, classes, shown, current.opacity, current.track, *effect, model, device]


def source_number(value: float | None) -> int:
    """Return the number of the source that a visitor looks at, as the page's script sends it."""
    return ALL if value is None else int(value)


def known_classes(site: Site, model_name: str) -> list[str]:
    """The classes of a model, or none where only loading it would tell."""
    from solov2 import VARIANTS

    choice = site.engine.choice
    if choice is not None and choice.model == model_name and site.engine.class_names:
        return list(site.engine.class_names)
    return list(VARIANTS[model_name].class_names) if model_name in VARIANTS else []


def offer_classes(site: Site, model_name: str, source: float | None) -> list[gr.Dropdown]:
    """Offer the classes of a model, to be shown and for effects; of those shown, keep what it knows.

    Also called when nothing has changed.
    """
    known = known_classes(site, model_name)
    chosen = site.engine.panel_of(source_number(source)).current.classes or frozenset()
    return [gr.Dropdown(choices=known, value=sorted(set(known) & chosen)), gr.Dropdown(choices=known)]


def begin(site: Site, wish: SourceRequest, model: str, device: str) -> str:
    """Start the stream that a visitor wants; return why not, as HTML, or nothing."""
    try:
        site.engine.start(Choice(chosen_sources(site, wish), model, device))
    except SOLOv2Error as error:
        return problem(str(error))
    return ""


def problem(sentence: str) -> str:
    """Return what went wrong as HTML that is read out at once."""
    return f'<p class="problem" role="alert">{escape(sentence[:1].upper() + sentence[1:])}</p>'


def switch(site: Site, model: str, device: str) -> None:
    """Let another model see the stream."""
    site.engine.switch(model, device)
