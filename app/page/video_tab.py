"""The Video tab: files of a visitor, annotated and played beside the original, with downloads."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.annotation.settings import Settings
from app.page.effect_fields import effect_fields, effects_of, show_effect_details
from app.page.jobs import ANNOTATED, COCO, LINES, ORIGINAL, YOLO, VideoJob
from app.page.live_tab import QUICK, known_classes, model_fields, problem
from app.page.site import Site
from app.sources.video import VIDEO_SUFFIXES
from app.stream.effect import Effect
from app.stream_errors import SourceError
from solov2 import SOLOv2Error

DOWNLOADS = [(ANNOTATED, "Video"), (COCO, "COCO"), (YOLO, "YOLO"), (LINES, "JSON lines")]


def video_tab(site: Site) -> None:
    """Put the tab's content into the Gradio block that is being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            uploads = gr.File(
                file_count="multiple",
                file_types=sorted(VIDEO_SUFFIXES),
                show_label=False,
                height=150,
                elem_classes="drop",
            )
            progress = gr.HTML(hint(site), js_on_load=None, apply_default_css=False)
            chosen = gr.Radio([], label="Result", visible=False)
            result = gr.HTML(js_on_load=None, apply_default_css=False)
        with gr.Column(scale=1, min_width=300):
            with gr.Row():
                begin = gr.Button("Annotate", variant="primary", size="lg", scale=2, min_width=120)
                cancel = gr.Button("Cancel", size="lg", scale=1, min_width=90, interactive=False)
            with gr.Group():
                with gr.Row():
                    model, device = model_fields(site)
                score = gr.Slider(0.05, 1, Settings().score, step=0.05, label="Confidence")
                track = gr.Checkbox(False, label="Track instances")
                fixed = site.engine.fixed_effects
                effect = effect_fields(known_classes(site, model.value), has_background=True, visible=not fixed)

    # Gradio passes a gr.Request by its annotation, to a positional argument of a plain function without *args

    def take_visitor_uploads(uploads: list[str], request: gr.Request) -> tuple[Any, ...]:
        return take_uploads(site, request.session_hash or "", uploads or [])

    def annotate_visitor_videos(
        model: str,
        device: str,
        score: float,
        track: bool,
        chosen: str,
        kind: str,
        classes: list[str] | None,
        picture: str | None,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        try:
            effects = site.engine.fixed_effects or effects_of(site, kind, classes or (), picture)
        except SOLOv2Error as error:
            raise gr.Error(str(error), print_exception=False) from error
        choice = Choice(model, device, Settings(score=score, track=track), effects or ())
        yield from annotate_waiting(site, request.session_hash or "", choice, chosen)

    def cancel_visitor_jobs(request: gr.Request) -> str:
        visit = request.session_hash or ""
        site.jobs.cancel(visit)
        return progress_table(site.jobs.of(visit))

    begin.click(take_visitor_uploads, uploads, [uploads, progress, cancel], **QUICK).then(
        annotate_visitor_videos,
        [model, device, score, track, chosen, *effect.all()],
        [progress, chosen, result, cancel],
        show_progress="hidden",
        concurrency_limit=1,
        api_visibility="private",
    )
    effect.kind.input(show_effect_details, effect.kind, [effect.classes, effect.picture], **QUICK)
    model.input(lambda name: gr.Dropdown(choices=known_classes(site, name)), model, effect.classes, **QUICK)
    cancel.click(cancel_visitor_jobs, None, progress, **QUICK)
    chosen.input(partial(show_result, site), chosen, result, **QUICK)


@dataclass(frozen=True, slots=True)
class Choice:
    """With what videos are annotated."""

    model: str
    device: str
    settings: Settings
    effects: tuple[Effect, ...] = ()


def hint(site: Site) -> str:
    """What may be dropped, as HTML."""
    most = f"up to {site.most_upload_bytes >> 20} MB each"
    return f'<p class="hint">MP4, MOV, MKV, WebM, AVI and others, {most}. They are kept while this page is open.</p>'


def take_uploads(site: Site, visit: str, uploads: list[str]) -> tuple[Any, ...]:
    """Take over what was dropped, at once, as uploads are removed after a while; nothing is annotated yet.

    Args:
        site: keeps the files.
        visit: names the visitor's page.
        uploads: paths of what was dropped.

    Returns:
        Values for the drop zone, the progress and the button that cancels.
    """
    if not uploads:
        return gr.skip(), problem("Drop a video first."), gr.skip()
    try:
        site.jobs.add(visit, [Path(upload) for upload in uploads])
    except SourceError as error:
        return None, problem(str(error)) + progress_table(site.jobs.of(visit)), gr.Button(interactive=True)
    return None, progress_table(site.jobs.of(visit)), gr.Button(interactive=True)


def annotate_waiting(site: Site, visit: str, choice: Choice, chosen: str | None) -> Iterator[tuple[Any, ...]]:
    """Annotate the visitor's waiting videos one after another; yield what the widgets show meanwhile.

    Args:
        site: keeps the files.
        visit: names the visitor's page.
        choice: with what they are annotated.
        chosen: the token of the result that is shown, if one is.

    Yields:
        Values for the progress, the choice of a result, the result, and the button that cancels.
    """

    def told() -> str:
        return progress_table(site.jobs.of(visit))

    waiting = [job for job in site.jobs.of(visit) if job.state == "waiting"]
    yield gr.skip(), gr.skip(), gr.skip(), gr.Button(interactive=bool(waiting))
    for job in waiting:
        for _ in job.run(site.engine.models, choice.model, choice.device, choice.settings, effects=choice.effects):
            yield told(), gr.skip(), gr.skip(), gr.skip()
        view = gr.skip()
        if job.state == "done" and chosen is None:
            chosen, view = job.token, result_view(job)
        finished = [(one.name, one.token) for one in site.jobs.of(visit) if one.state == "done"]
        yield (
            told(),
            gr.Radio(finished, value=chosen, visible=len(finished) > 1),
            view,
            gr.Button(interactive=job is not waiting[-1]),
        )


def show_result(site: Site, token: str) -> str:
    """Show another of the visitor's results."""
    job = site.jobs.find(token)
    return result_view(job) if job is not None else ""


def progress_table(jobs: list[VideoJob]) -> str:
    """The visitor's videos and how far they are, as HTML."""
    return f'<ul class="jobs" aria-label="Videos">{"".join(map(_progress_row, jobs))}</ul>'


def _progress_row(job: VideoJob) -> str:
    if job.state == "running" and not job.frames:
        text = "loading the model"
    elif job.state == "running":
        left = "" if job.seconds_left == float("inf") else f", {_duration(job.seconds_left)} left"
        of = f" of {job.total}" if job.total else ""
        text = f"{job.frames}{of} frames, {job.fps:.1f} per second{left}"
    elif job.state == "done":
        text = f"done: {job.frames} frames, {job.fps:.1f} per second"
    else:
        text = job.state
    if job.problem:
        text += f": {job.problem}"
    amount = 1.0 if job.state == "done" else job.frames / job.total if job.total else 0.0
    return (
        f'<li data-job="{job.state}"><b>{escape(job.name)}</b><span>{escape(text)}</span>'
        f'<progress max="1" value="{amount:.4f}" aria-label="{escape(job.name, quote=True)}"></progress></li>'
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def result_view(job: VideoJob) -> str:
    """The annotated video beside the original, and what can be downloaded, as HTML."""
    links = "".join(
        f'<a href="video/{job.token}/{name}" download="{escape(_download_name(job, name), quote=True)}">{label}</a>'
        for name, label in DOWNLOADS
    )
    return (
        f'<section class="pair" aria-label="{escape(job.name, quote=True)}">'
        f'<figure><video controls playsinline muted loop preload="metadata" src="video/{job.token}/{ORIGINAL}"></video>'
        "<figcaption>Original</figcaption></figure>"
        f'<figure><video controls playsinline muted loop preload="auto" src="video/{job.token}/{ANNOTATED}"></video>'
        f'<figcaption>Annotated</figcaption></figure></section><div class="bar"><span>Download</span>{links}</div>'
    )


def _download_name(job: VideoJob, name: str) -> str:
    return f"{Path(job.name).stem}-{name}"
