import asyncio
import time

import cv2
import numpy as np
import pytest

from app.sinks import jpeg_sink
from app.sinks.jpeg_sink import Jpeg, JpegSink, LatestJpeg, Viewer, multipart
from app.stream.controls import ControlPanel
from app.stream.frames import Result
from tests.fake_instances import result_of
from tests.fake_media import grey


def jpeg(number: int) -> Jpeg:
    return Jpeg(bytes([number]), float(number), 0.0)


async def newest(viewer: Viewer) -> Jpeg:
    return (await viewer.next())[1]


def drawn_result(drawn: list[Result], value: int = 99, pts: int = 0) -> Result:
    """A result whose picture is grey; `drawn` tells how often it was drawn."""

    def draw(result: Result) -> np.ndarray:
        drawn.append(result)
        return grey(value)

    return result_of(grey(1), pts=pts, draw=draw)


def test_nobody_looking_means_nothing_is_drawn_or_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_sink, "encode_jpeg", lambda picture: pytest.fail("encoded for nobody"))
    board = LatestJpeg()
    drawn: list[Result] = []
    sink = JpegSink(board, ControlPanel())
    sink.write(drawn_result(drawn))
    sink.idle()
    sink.close()
    assert (board.newest, drawn) == (None, [])


def test_one_picture_is_encoded_once_for_all_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[bytes] = []
    encode = jpeg_sink.encode_jpeg

    def count(picture: np.ndarray) -> bytes:
        encoded.append(encode(picture))
        return encoded[-1]

    monkeypatch.setattr(jpeg_sink, "encode_jpeg", count)

    async def look() -> None:
        board = LatestJpeg()
        drawn: list[Result] = []
        sink = JpegSink(board, ControlPanel())
        with Viewer(board) as one, Viewer(board) as other:
            await asyncio.to_thread(sink.write, drawn_result(drawn, 200, pts=15))
            first, second = await newest(one), await newest(other)
            assert first is second
            assert first.pts_seconds == 0.5
            shown = cv2.imdecode(np.frombuffer(first.data, np.uint8), cv2.IMREAD_COLOR)
            assert shown is not None
            assert np.all(abs(shown.astype(int) - 200) <= 2)
        assert len(encoded) == len(drawn) == 1
        sink.write(drawn_result(drawn))
        assert len(encoded) == len(drawn) == 1, "nobody looks any more"

    asyncio.run(look())


def test_a_slow_viewer_gets_the_newest_and_misses_the_others() -> None:
    async def look() -> list[float]:
        board = LatestJpeg()
        seen = []
        with Viewer(board) as viewer:
            for number in range(5):
                board.post(jpeg(number))
            seen.append((await newest(viewer)).pts_seconds)
            waiting = asyncio.create_task(newest(viewer))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await asyncio.to_thread(board.post, jpeg(9))
            seen.append((await waiting).pts_seconds)
        return seen

    assert asyncio.run(look()) == [4.0, 9.0]


def test_posting_takes_no_time_however_many_viewers_sleep() -> None:
    async def look() -> float:
        board = LatestJpeg()
        viewers = [Viewer(board) for _ in range(100)]
        for viewer in viewers:
            viewer.__enter__()
        started = time.perf_counter()
        for number in range(10):
            board.post(jpeg(number))
        took = time.perf_counter() - started
        for viewer in viewers:
            viewer.__exit__(None, None, None)
        assert len(board.viewers) == 0
        return took

    assert asyncio.run(look()) < 2


def test_a_change_of_controls_shows_on_the_last_picture() -> None:
    async def look() -> None:
        board = LatestJpeg()
        drawn: list[Result] = []
        panel = ControlPanel()
        sink = JpegSink(board, panel)
        with Viewer(board):
            sink.write(drawn_result(drawn))
            sink.idle()
            assert len(drawn) == 1
            panel.update(opacity=0.9)
            sink.idle()
            sink.idle()
            assert len(drawn) == 2

    asyncio.run(look())


def test_who_begins_to_look_while_nothing_moves_sees_the_last_picture() -> None:
    async def look() -> None:
        board = LatestJpeg()
        drawn: list[Result] = []
        sink = JpegSink(board, ControlPanel())
        sink.write(drawn_result(drawn))
        with Viewer(board) as viewer:
            sink.idle()
            assert (await newest(viewer)).data
        assert len(drawn) == 1

    asyncio.run(look())


def test_the_multipart_answer_carries_each_jpeg_whole() -> None:
    async def look() -> bytes:
        board = LatestJpeg()
        board.post(Jpeg(b"abc", 0.0, 0.0))
        parts = multipart(board)
        answer = await anext(parts) + await anext(parts)
        assert len(board.viewers) == 1
        await parts.aclose()
        assert len(board.viewers) == 0
        return answer

    assert asyncio.run(look()) == (
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\r\n--frame\r\n"
    )
