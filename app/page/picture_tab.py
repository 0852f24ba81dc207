"""The Picture tab: one picture, its instances, and their cut-outs. The browser does the drawing; see `picture.js`."""

from html import escape

import gradio as gr

from app.page.effect_fields import NAMES
from app.page.site import Site

VIEW = """
<section class="picture" data-mount="picture" aria-label="Instances of one picture">
  <div>
    <div class="stage" data-part="stage">
      <div class="sheet">
        <canvas data-part="canvas" aria-hidden="true"></canvas>
        <canvas data-part="overlay" role="img" aria-label="The picture with its instances marked"></canvas>
      </div>
      <p class="note" data-part="note" role="status">Drop a picture here, paste one, or choose a file.</p>
    </div>
    <div class="bar">
      <label class="pick">Choose a picture<input type="file" accept="image/*" data-part="file"></label>
      <a data-part="changed" download hidden>Download the changed picture</a>
    </div>
  </div>
  <div>
    <label class="field">Model <select data-part="model">{models}</select></label>
    <label class="field"{effect_hidden}>Effect <select data-part="effect">{effects}</select></label>
    <label class="field"{effect_hidden}>Effect on <select data-part="effect-class">
      <option value="">all</option></select></label>
    <label class="field"><span>Confidence <b data-part="threshold-text">0.4</b></span>
      <input type="range" min="0.05" max="1" step="0.05" value="0.4" data-part="threshold"></label>
    <ul class="instances" data-part="list" aria-label="Instances"></ul>
  </div>
</section>
"""


def picture_tab(site: Site) -> None:
    """Put the tab's content into the Gradio block that is being built."""
    models = "".join(f"<option>{escape(name)}</option>" for name in site.engine.models.names)
    effects = "".join(f'<option value="{kind}">{text}</option>' for kind, text in NAMES.items() if kind != "background")
    hidden = " hidden" if site.engine.fixed_effects else ""
    view = VIEW.format(models=models, effects=effects, effect_hidden=hidden)
    gr.HTML(view, js_on_load=None, apply_default_css=False)
