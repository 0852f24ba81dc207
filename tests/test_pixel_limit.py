"""What declares too many pixels is refused before anything is decoded, wherever pictures and videos are read."""

import base64
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from app.page.jobs import VideoJob
from app.page.picture_upload import UnreadablePictureError, read_upload
from app.sources import open_source
from app.sources.browser import decode
from app.sources.pictures import read_picture
from app.stream_errors import SourceError
from solov2.data.picture_files import picture_sizes
from solov2.errors import SOLOv2Error
from solov2.pixel_limit import VARIABLE, TooManyPixelsError, check_picture, declared_size, max_pixels
from tests.fake_media import grey, write_picture, write_video

SIDE = 9000  # 81 megapixels


def png_of(side: int) -> bytes:
    """A PNG of one colour, without ever holding its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def gif_of(side: int) -> bytes:
    """A GIF that declares any size and holds a picture of one pixel, in 43 bytes."""
    size = struct.pack("<HH", side, side)
    head = b"GIF89a" + size + b"\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    return head + b"!\xf9\x04\x00\x0a\x00\x00\x00," + bytes(4) + size + b"\x00\x02\x02D\x01\x00;"


def jpeg_of(side: int) -> bytes:
    """A JPEG of 16x16 pixels whose header says something else."""
    data = bytearray(cv2.imencode(".jpg", grey(7, (16, 16)))[1].tobytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


def patched(kind: str, side: int) -> bytes:
    """A small picture of a kind, whose size is then changed where its header states it."""
    file = io.BytesIO()
    Image.new("RGB", (1234, 1234)).save(file, kind)
    data = bytearray(file.getvalue())
    for code in ("<H", "<I", ">H", ">I"):
        both = struct.pack(code, 1234) * 2
        if kind == "BMP" and code == "<I":
            at = data.index(both)
            data[at : at + 8] = struct.pack("<II", side, side)
    if kind == "TIFF":
        data = data.replace(struct.pack("<HHIHH", 256, 4, 1, 1234, 0), struct.pack("<HHII", 256, 4, 1, side))
        data = data.replace(struct.pack("<HHIHH", 257, 4, 1, 1234, 0), struct.pack("<HHII", 257, 4, 1, side))
    return bytes(data)


def ppm_of(side: int) -> bytes:
    return f"P6 {side} {side} 255\n".encode()


KINDS: dict[str, Callable[[int], bytes]] = {
    "png": png_of,
    "jpg": jpeg_of,
    "bmp": lambda side: patched("BMP", side),
    "tif": lambda side: patched("TIFF", side),
    "ppm": ppm_of,
}


@pytest.mark.parametrize("ending", KINDS)
def test_the_declared_size_of_each_kind_of_picture_is_read_and_limited(ending: str, tmp_path: Path) -> None:
    data = KINDS[ending](SIDE)
    assert declared_size(io.BytesIO(data)) == (SIDE, SIDE)
    path = tmp_path / f"large.{ending}"
    path.write_bytes(data)
    with pytest.raises(TooManyPixelsError, match=f"{SIDE}x{SIDE} pixels, and at most 64 megapixels"):
        read_picture(path)
    with pytest.raises(SourceError, match=f"large.{ending} as a picture .*at most 64 megapixels are read: --max"):
        open_source(str(path))
    with pytest.raises(TooManyPixelsError, match="at most 64 megapixels"):
        picture_sizes(path)


@pytest.mark.parametrize("data", [png_of(SIDE), jpeg_of(SIDE), gif_of(SIDE)], ids=["png", "jpg", "gif"])
def test_what_visitors_send_is_limited(data: bytes) -> None:
    with pytest.raises(UnreadablePictureError, match=r"^The picture has 9000x9000 pixels, .* megapixels are read"):
        read_upload(data)


def test_a_webp_picture_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cv2.imencode(".webp", grey(9, (900, 1200)))[1].tobytes()
    assert read_upload(data).shape == (900, 1200, 3)
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(UnreadablePictureError, match="1200x900 pixels, and at most 1 megapixels"):
        read_upload(data)


def test_a_camera_picture_of_a_browser_is_limited() -> None:
    with pytest.raises(SourceError, match="the browser's picture has 9000x9000 pixels"):
        decode(jpeg_of(SIDE))


def test_a_large_picture_leaves_the_others_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(SIDE))
    write_picture(tmp_path / "b.png", grey(9))
    frames = iter(open_source(str(tmp_path)))
    assert next(frames).image.shape == (48, 64, 3)
    with pytest.raises(SourceError, match=r"a.png as a picture \(.*9000x9000.*; the other 1 were used"):
        next(frames)


def test_a_video_that_declares_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.gif"
    path.write_bytes(gif_of(SIDE))
    with pytest.raises(SourceError, match=r"large.gif has no size, or more than 64 megapixels: --max-meg"):
        open_source(str(path))
    job = VideoJob.take(path, tmp_path / "jobs")
    models = SimpleNamespace(get=lambda name, device: None)
    list(job.run(models, "nano", "auto", None))  # type: ignore[arg-type]  # it ends before it needs them
    assert (job.state, "64 megapixels" in job.problem) == ("failed", True)


def test_a_video_that_grows_in_mid_stream_is_not_decoded_beyond_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two H.264 streams, one after the other in one file: the second is larger."""
    parts = []
    for number, hw in enumerate([(48, 64), (1200, 1600)]):
        path = write_video(tmp_path / f"{number}.mp4", [grey(9, hw)] * 4)
        raw = tmp_path / f"{number}.h264"
        with av.open(str(path)) as source, av.open(str(raw), "w", format="h264") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
        parts.append(raw.read_bytes())
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(parts))
    assert {frame.image.shape[:2] for frame in open_source(str(both))} == {(48, 64), (1200, 1600)}
    monkeypatch.setenv(VARIABLE, "1")
    frames = iter(open_source(str(both)))
    assert next(frames).image.shape[:2] == (48, 64)
    with pytest.raises(SourceError, match=r"both\.h264 .*every frame that could be read was used"):
        assert all(frame.image.shape[:2] == (48, 64) for frame in frames)


def test_a_mask_of_labelme_is_limited() -> None:
    from solov2.data.labelme_folder import _mask_code

    shape = {"mask": base64.b64encode(png_of(SIDE)).decode(), "points": [[0, 0]]}
    with pytest.raises(TooManyPixelsError, match="a mask has 9000x9000"):
        _mask_code(shape, (100, 100))


def test_a_tiff_that_pillow_does_not_know_is_limited_too() -> None:
    floats = cv2.imencode(".tiff", np.zeros((40, 50, 3), np.float32))[1].tobytes()
    assert declared_size(io.BytesIO(floats)) == (50, 40)


def test_the_limit_is_an_option_of_the_commands_and_reaches_their_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, "100")
    assert max_pixels() == 100_000_000
    assert check_picture(png_of(SIDE), "it")
    child = [sys.executable, "-c", "from solov2.pixel_limit import max_pixels; print(max_pixels())"]
    assert subprocess.run(child, capture_output=True, text=True, check=True).stdout == "100000000\n"
    monkeypatch.setenv(VARIABLE, "many")
    with pytest.raises(SOLOv2Error, match="must be a whole number of megapixels, got 'many'"):
        max_pixels()


@pytest.mark.parametrize("text", ["0", "-1", "x", "1e3", "10000"])
def test_a_wrong_limit_is_refused_in_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from app.page.server_options import build_parser

    with pytest.raises(SystemExit):
        build_parser().parse_args(["--max-megapixels", text])
    assert "--max-megapixels: must be a whole number" in capsys.readouterr().err
