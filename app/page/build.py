"""The page as one Gradio block, and what `launch` needs to serve it."""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from app.page.about_tab import about_tab
from app.page.guard import guarding, ignore_forwarded_headers
from app.page.live_tab import live_tab
from app.page.own_sources import own_sources
from app.page.picture_tab import picture_tab
from app.page.routes import page_routes
from app.page.server_options import access_of, login_of, models_of, plans_of
from app.page.site import BLOCKS_ATTRIBUTE, Site
from app.page.stream_runner import Engine
from app.page.theme import page_head, page_theme
from app.page.video_tab import video_tab

TITLE = "SOLOv2 live"
CACHE_SECONDS = 3600  # uploads and results older than that are removed
CACHE_CHECK_SECONDS = 300

HEADER = """
<header class="page-head">
  <svg viewBox="0 0 48 48" aria-hidden="true"><rect width="48" height="48" rx="12" fill="#177e77"/>
    <path d="M10 30c0-9 4-17 12-17s9 6 15 6 3 18-8 18-19 2-19-7Z" fill="#a8e8de"/>
    <path d="M10 30c0-9 4-17 12-17s9 6 15 6 3 18-8 18-19 2-19-7Z" fill="none" stroke="#fff" stroke-width="2.5"/></svg>
  <div><h1>SOLOv2 live</h1><p>Every person, cat and thing in its own outline, while it moves.</p></div>
</header>
"""


def build_site(options: argparse.Namespace, folder: Path) -> Site:
    """Return what the page of these options is made of; nothing is loaded or opened yet.

    Args:
        options: as `build_parser` gives them.
        folder: for the page's files, which it keeps in a folder of its own there.

    Raises:
        AppError: an option does not fit.
    """
    own = own_sources(plans_of(options))
    engine, access = Engine(models_of(options), tuple(options.effect)), access_of(options)
    return Site(engine, access, options.max_upload << 20, Path(tempfile.mkdtemp(dir=folder)), own)


def build_blocks(site: Site) -> gr.Blocks:
    """Return the page."""
    kept = (CACHE_CHECK_SECONDS, CACHE_SECONDS)
    blocks = gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=kept)
    with blocks:
        gr.HTML(HEADER, js_on_load=None, apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Live", id="live"):
                live_tab(site)
            with gr.Tab("Video", id="video"):
                video_tab(site)
            with gr.Tab("Picture", id="picture"):
                picture_tab(site)
            with gr.Tab("About", id="about"):
                about_tab()

        def forget_visit(request: gr.Request) -> None:
            site.jobs.remove(request.session_hash or "")

        blocks.unload(forget_visit)
    setattr(blocks, BLOCKS_ATTRIBUTE, site)
    return blocks


def launch_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of Gradio's `launch`, and set the environment that it and uvicorn read.

    Raises:
        AppError: an option does not fit.
    """
    ignore_forwarded_headers()
    os.environ["GRADIO_NUM_WORKERS"] = "0"  # Gradio's workers would take uploads at ports of their own, unguarded
    return {
        "server_name": options.host,
        "server_port": options.port,
        "share": options.share,
        "auth": login_of(options),
        "max_file_size": options.max_upload << 20,
        "theme": page_theme(),
        "head": page_head(),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "app_kwargs": {"routes": page_routes(), "lifespan": guarding(options)},
    }
