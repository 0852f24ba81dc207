"""The Picture tab: one picture, its instances, and their cut-outs. The browser does the drawing; see `picture.js`."""

from html import escape

import gradio as gr

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
    </div>
  </div>
  <div>
    <label class="field">Model <select data-part="model">{models}</select></label>
    <label class="field"><span>Confidence <b data-part="threshold-text">0.4</b></span>
      <input type="range" min="0.05" max="1" step="0.05" value="0.4" data-part="threshold"></label>
    <ul class="instances" data-part="list" aria-label="Instances"></ul>
  </div>
</section>
"""


def picture_tab(site: Site) -> None:
    """Put the tab's content into the Gradio block that is being built."""
    models = "".join(f"<option>{escape(name)}</option>" for name in site.engine.models.names)
    gr.HTML(VIEW.format(models=models), js_on_load=None, apply_default_css=False)
