"""How the page looks: Gradio's theme in our colours, with the fonts of the visitor's system, and our own CSS and JS."""

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent
STYLES = FOLDER / "page.css"
SCRIPTS = (FOLDER / "live.js", FOLDER / "picture.js")

TEAL = gr.themes.Color(
    c50="#effbf9",
    c100="#d3f4ee",
    c200="#a8e8de",
    c300="#74d5c8",
    c400="#43baad",
    c500="#239d92",
    c600="#177e77",
    c700="#156561",
    c800="#15514f",
    c900="#144341",
    c950="#062727",
)
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def page_theme() -> gr.themes.Base:
    """Return the theme."""
    return gr.themes.Soft(
        primary_hue=TEAL,
        secondary_hue=TEAL,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0d1420",
        block_background_fill_dark="#151e2d",
        background_fill_primary_dark="#151e2d",
        background_fill_secondary_dark="#0d1420",
        border_color_primary_dark="#263246",
        input_background_fill_dark="#0f1826",
        body_text_color_subdued="*neutral_600",
        color_accent="*primary_600",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="#334155",
        input_border_color_hover="*neutral_400",
        input_shadow="none",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        checkbox_label_shadow="none",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="*neutral_200",
        checkbox_label_border_color_dark="#334155",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_600",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        block_title_padding="0",
        block_title_text_size="*text_sm",
        block_label_text_weight="500",
        block_label_background_fill="*neutral_100",
        block_label_background_fill_dark="#1d293b",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        button_secondary_background_fill_dark="#1d293b",
        button_secondary_background_fill_hover_dark="#263449",
        checkbox_label_background_fill_dark="#1d293b",
        checkbox_label_background_fill_hover_dark="#263449",
        block_title_text_weight="500",
        block_shadow="none",
        block_shadow_dark="none",
        block_border_width="1px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


def page_head() -> str:
    """Return what belongs into the document's head: our styles and scripts.

    Not as Gradio's `css`, which it takes apart at every comma, also inside `:is(a, b)`.
    """
    styles = STYLES.read_text(encoding="utf-8")
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    return f'<style>\n{styles}\n</style>\n<script type="module">\n{scripts}\n</script>'
