"""`python -m app.ui` or `gradio app/ui.py`: a page to segment streams, videos and pictures in a browser.

Gradio's reload mode runs this file twice at its start, and again whenever a file beside it has changed, in one process:
as long as the code is the same, the page keeps its stream; code that has changed starts again.
"""

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).resolve().parent):  # run by its path: the packages lie one level up
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.page.server_options import build_parser, check_listening, plans_of
from app.sinks.writable import writing
from app.stream_errors import AppError
from solov2.cli import importing, run_command

if TYPE_CHECKING:
    import gradio as gr

    from app.page.site import Site

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"  # where Gradio keeps uploads

site: "Site | None" = globals().get("site")  # of the run of this file before this one
demo: "gr.Blocks | None" = globals().get("demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after an error of the user's."""
    return run_command(build_parser(), serve, argv)


def serve(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM; return the exit code."""
    global site, demo
    is_first = threading.current_thread() is threading.main_thread()
    if is_first:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        check_listening(options)
        plans_of(options)  # a mistake in it is told before the long imports
    with importing():
        from app.page.build import build_blocks, build_site, launch_options
        from app.page.site import Site
    own_folder = None if FOLDER_VARIABLE in os.environ else tempfile.mkdtemp(prefix="solov2-page-")
    folder = os.environ.setdefault(FOLDER_VARIABLE, own_folder or "")
    try:
        with writing(Path(folder)):
            Path(folder).mkdir(parents=True, exist_ok=True)
        arguments = launch_options(options)
        previous = site
        site = previous if isinstance(previous, Site) else build_site(options, Path(folder))
        demo = build_blocks(site)
        if site is not previous:
            site.start_own()
        launch(demo, arguments)
        if previous is not None and previous is not site:
            previous.close()
    finally:
        if is_first:
            if site is not None:
                site.close()
            shutil.rmtree(own_folder or "", ignore_errors=True)
    return 0


def launch(blocks: "gr.Blocks", arguments: dict[str, object]) -> None:
    """Serve `blocks`; in the reloads it returns at once.

    Raises:
        AppError: the address cannot be listened on.
    """
    try:
        blocks.launch(**arguments)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:  # the latter where the page cannot reach itself
        where = f"{arguments['server_name']}:{arguments['server_port'] or 7860}"
        raise AppError(f"could not listen on {where}: {error}. Choose another --host or --port") from error


if __name__ == "__main__":
    code = main()
    if threading.current_thread() is threading.main_thread():
        sys.exit(code)
