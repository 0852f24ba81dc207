"""The routes of the page besides Gradio's own."""

import asyncio
import functools
import json
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.page.effect_fields import parse_wish
from app.page.jobs import ANNOTATED, COCO, LINES, ORIGINAL, YOLO
from app.page.picture_upload import PictureWish, UnreadablePictureError, segment_picture
from app.page.prometheus import CONTENT_TYPE, metrics_text
from app.page.senders import sender_of
from app.page.site import Site, is_logged_in, site_of
from app.page.socket import serve_socket
from app.sinks.jpeg_sink import MULTIPART, encode_jpeg, multipart
from app.sources.demo import DemoSource
from solov2 import SOLOv2Error

MAX_PICTURE_BYTES = 64 << 20
MAX_DIGITS = 3
MAX_EFFECT = 4000  # characters
FRESH = {"Cache-Control": "no-store"}


def page_routes() -> Sequence[BaseRoute]:
    """Return them, for `app_kwargs` of Gradio's `launch`."""
    return [
        WebSocketRoute("/live/socket", serve_socket),
        Route("/live/stream.mjpg", stream),
        Route("/live/snapshot.png", snapshot),
        Route("/live/first-frame.jpg", first_frame),
        Route("/metrics", metrics),
        Route("/live/recording.mp4", recording),
        Route("/picture/segment", segment, methods=["POST"]),
        Route("/video/{token}/{name}", video_file),
    ]


async def stream(request: Request) -> Response:
    """Answer with a source as Motion JPEG, for players and other programs."""
    engine, source = _enter(request).engine, _source(request)
    if source >= len(engine.views):
        raise HTTPException(404, f"There is no source {source}. They are counted from 0.")
    board = engine.boards(source)[0]
    return StreamingResponse(multipart(board), media_type=MULTIPART, headers=FRESH)


async def snapshot(request: Request) -> Response:
    """Answer with the newest picture of a source as a PNG file."""
    png = await asyncio.to_thread(_enter(request).engine.snapshot_png, _source(request))
    if png is None:
        raise HTTPException(404, "There is no picture yet. Start a stream first.")
    return Response(png, media_type="image/png", headers=FRESH | _download("solov2-snapshot.png"))


async def metrics(request: Request) -> Response:
    """Answer with the counters of the stream, for Prometheus."""
    return Response(metrics_text(_enter(request).engine.reporters()), media_type=CONTENT_TYPE, headers=FRESH)


async def recording(request: Request) -> Response:
    """Answer with the last recording of a source."""
    path = _enter(request).recordings.get(_source(request))
    if path is None or not path.exists():
        raise HTTPException(404, "There is no recording yet. Start one first.")
    return FileResponse(path, media_type="video/mp4", filename=path.name, headers=FRESH)


async def first_frame(request: Request) -> Response:
    """Answer with the first frame of the built-in clip, which the page shows before anything is started."""
    _enter(request)
    jpeg = await asyncio.to_thread(first_frame_of_clip)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


async def segment(request: Request) -> Response:
    """Answer with the instances of the picture in the request's body, as JSON."""
    site = _enter(request)
    query = request.query_params
    name, device = query.get("model", site.engine.models.names[0]), query.get("device", "auto")
    if name not in site.engine.models.names:
        raise HTTPException(400, "This page does not offer that model.")
    async with site.pictures.take(sender_of(request.scope)) as has_place:  # before anything is read
        if not has_place:
            raise HTTPException(503, "Too many pictures are waiting. Try again in a minute.")
        data = await _body(request, min(site.most_upload_bytes, MAX_PICTURE_BYTES))
        try:
            effects = site.engine.fixed_effects or parse_wish(query.get("effect", "")[:MAX_EFFECT])
            wish = PictureWish(name, device, effects, _score(query.get("score", "")))
            found = await asyncio.to_thread(segment_picture, site.engine.models, wish, data)
        except (UnreadablePictureError, SOLOv2Error) as error:
            raise HTTPException(400, str(error)) from error
    return Response(json.dumps(found), media_type="application/json", headers=FRESH)


async def video_file(request: Request) -> Response:
    """Answer with a visitor's video, or with what was made of it; parts of it where a player asks for them."""
    job = _enter(request).jobs.find(request.path_params["token"])
    name = request.path_params["name"]
    if job is None or name not in (ORIGINAL, ANNOTATED, LINES, COCO, YOLO) or not (job.folder / name).exists():
        raise HTTPException(404, "There is no such file any more. Drop the video again.")
    kind = "video/mp4" if name in (ORIGINAL, ANNOTATED) else "application/octet-stream"
    return FileResponse(job.folder / name, media_type=kind, headers=FRESH)


def _enter(request: Request) -> Site:
    if not is_logged_in(request):
        raise HTTPException(401, "Log in to this page first.")
    return site_of(request)


def _source(request: Request) -> int:
    """The number of the source that an address asks for, the first by default."""
    text = request.query_params.get("source", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else 0


def _score(text: str) -> float:
    """The least score that an address asks for, 0 by default."""
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


@functools.cache
def first_frame_of_clip() -> bytes:
    """Return the first frame of the built-in clip as a JPEG file."""
    return encode_jpeg(next(iter(DemoSource())).image)


async def _body(request: Request, most_bytes: int) -> bytes:
    """Read the request's body as far as it is allowed to go."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most_bytes:
            raise HTTPException(413, f"The file is larger than {most_bytes >> 20} MB.")
    return bytes(data)


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
