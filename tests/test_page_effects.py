"""Effects on the page: nobody sees what is hidden, and a mistake leaves the stream as it is."""

import asyncio
import base64
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.drawing.effects import COVER, EffectError
from app.page import stream_runner
from app.page.access import Access
from app.page.effect_fields import effects_of, parse_wish
from app.page.model_cache import Models
from app.page.picture_upload import PictureWish, segment_picture
from app.page.site import Site
from app.page.status import stream_status
from app.page.stream_runner import Engine
from app.sinks.jpeg_sink import Viewer
from app.stream.effect import Effect, parse_effect
from app.stream.frames import Picture
from app.stream_errors import AppError
from solov2 import Instances
from solov2.errors import UnknownNameError
from solov2.masks.mask_crop import MaskCrop
from tests.fake_model import FakeModel
from tests.test_page_engine import Camera, camera, has_shown, state
from tests.waiting import wait_until

PERSON = (slice(10, 30), slice(10, 30))
FILL = Effect("fill", frozenset({"person"}))


class FindsPerson:
    """Finds a person of a low score at `PERSON`, whatever the picture, if it is asked for one."""

    class_names: tuple[str, ...] = FakeModel.class_names
    workers = batch_size = 1

    def __init__(self, model: FakeModel, *_: object) -> None:
        self.class_names = model.class_names

    def predict_batch(
        self,
        images: Sequence[Picture],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        found = score_threshold <= 0.2 and (labels is None or 0 in labels)
        crops = [MaskCrop(10, 10, np.ones((20, 20), np.bool_))] if found else []
        return [Instances.from_crops(crops, [0.2] * len(crops), [0] * len(crops), image.shape[:2]) for image in images]

    def predict(self, image: Picture) -> Instances:
        return self.predict_batch([image])[0]


class NoPersons(FakeModel):
    """Knows nobody."""

    class_names = ("dog", "cat")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(stream_runner, "open_predictor", FindsPerson)
    monkeypatch.setattr(Models, "get", lambda self, name, device="auto": NoPersons() if name == "dogs" else FakeModel())
    monkeypatch.setattr(Camera, "open_count", 0)
    made = Engine(Models())
    yield made
    made.close()


def picture_of(data: bytes | None) -> Picture:
    assert data is not None
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr[..., ::-1], np.uint8)


def is_covered(picture: Picture) -> bool:
    return bool(np.abs(picture[PERSON].astype(int).mean((0, 1)) - COVER).max() < 10)


def test_an_effect_hides_in_what_is_streamed_and_snapped_from_the_next_picture_on(engine: Engine) -> None:
    engine.panel.update(classes=frozenset({"cat"}))  # nobody is shown, and hidden all the same
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.set_effects((FILL,))

    async def next_pictures() -> list[Picture]:
        with Viewer(*engine.boards()) as viewer:
            return [picture_of((await viewer.next())[1].data) for _ in range(10)]

    assert all(map(is_covered, asyncio.run(next_pictures())))
    assert is_covered(picture_of(engine.snapshot_png()))


def test_pictures_from_before_an_effect_are_not_shown_again(engine: Engine) -> None:
    """Neither the last picture of a stream that has ended, nor a snapshot of it: all of it is covered then."""
    engine.start(camera())

    async def look() -> None:
        with Viewer(*engine.boards()) as viewer:
            await viewer.next()

    asyncio.run(look())
    engine.stop()
    assert engine.boards()[0].newest is not None
    engine.set_effects((FILL,))
    assert engine.boards()[0].newest is None
    snapshot = picture_of(engine.snapshot_png())
    assert (np.abs(snapshot.astype(int) - COVER).max(2) < 10).mean() > 0.9


def test_a_recording_holds_no_picture_without_the_effect(engine: Engine, tmp_path: Path) -> None:
    engine.set_effects((FILL,))
    engine.start(camera())
    wait_until(lambda: state(engine) == "running")
    engine.start_recording(tmp_path / "saved.mp4")
    wait_until(lambda: stream_status(engine)["recorded_frames"] > 5)
    engine.stop_recording()
    video = cv2.VideoCapture(str(tmp_path / "saved.mp4"))
    pictures = []
    while (read := video.read())[0]:
        pictures.append(np.asarray(read[1][..., ::-1], np.uint8))
    assert len(pictures) > 5
    assert all(map(is_covered, pictures))


def test_a_class_that_the_model_does_not_know_leaves_the_stream_and_its_effect(engine: Engine) -> None:
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.set_effects((FILL,))
    with pytest.raises(UnknownNameError, match="unknown class 'cow'"):
        engine.set_effects((Effect("fill", frozenset({"cow"})),))
    with pytest.raises(EffectError, match="the background must be a picture"):
        engine.set_effects((Effect("background", picture=Path("nowhere.png")),))
    assert (state(engine), engine.panel.current.effects) == ("running", (FILL,))


def test_a_model_that_cannot_find_what_is_hidden_does_not_take_over(engine: Engine) -> None:
    engine.start(camera())
    wait_until(lambda: has_shown(engine))
    engine.set_effects((FILL,))
    engine.switch("dogs", "auto")
    wait_until(lambda: stream_status(engine)["problem"])
    assert stream_status(engine)["problem"].startswith("the model dogs does not fit the effect that is chosen: unknown")
    assert (state(engine), stream_status(engine)["model"]) == ("running", "nano")


def test_visitors_cannot_take_away_the_operators_effect(engine: Engine) -> None:
    fixed = Engine(engine.models, (FILL,))
    with pytest.raises(AppError, match="the operator of this page has fixed the effects"):
        fixed.set_effects(())
    assert fixed.panel.current.effects == (FILL,)
    fixed.close()


def test_the_state_of_the_controls_is_json_with_effects_and_names_no_file(engine: Engine) -> None:
    engine.panel.update(effects=(FILL, Effect("background", picture=Path("/secret/wall.png"))))
    assert engine.controls_state()["effects"] == ["fill:person", "background:"]


def test_a_picture_comes_back_with_the_effect(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Models, "get", lambda *_: FindsPerson(FakeModel()))
    png = cv2.imencode(".png", np.full((48, 64, 3), 200, np.uint8))[1].tobytes()
    answer = segment_picture(engine.models, PictureWish("nano", effects=(FILL,), score=0.9), png)
    changed = picture_of(base64.b64decode(answer["picture"].partition(",")[2]))
    assert is_covered(changed)
    assert (changed[40:] == 200).all()
    assert "picture" not in segment_picture(engine.models, PictureWish("nano"), png)
    with pytest.raises(UnknownNameError):
        segment_picture(engine.models, PictureWish("nano", effects=(Effect("blur", frozenset({"cow"})),)), png)


def test_the_widgets_describe_an_effect_and_refuse_what_is_none(engine: Engine, tmp_path: Path) -> None:
    site = Site(engine, Access((), (), False), 1 << 20, tmp_path / "site")
    assert effects_of(site, "none", [], None) == ()
    assert effects_of(site, "blur", ["cat"], None) == (parse_effect("blur:cat"),)
    assert effects_of(site, "background", [], None) is None
    picture = tmp_path / "wall.png"
    cv2.imwrite(str(picture), np.zeros((9, 9, 3), np.uint8))
    (background,) = effects_of(site, "background", [], str(picture)) or ()
    assert background.picture is not None
    assert background.picture.parent.parent == site.folder, "an upload is removed after a while"
    picture.write_text("no picture")
    for kind, upload in (("background", str(picture)), ("smoke", None)):
        with pytest.raises(AppError, match=r"cannot be used|an effect is one of"):
            effects_of(site, kind, [], upload)
    assert parse_wish("fill:person+cat") == (parse_effect("fill:person+cat"),)
    for text in ("background:/etc/passwd", "smoke"):
        with pytest.raises(AppError, match="an effect is one of"):
            parse_wish(text)
