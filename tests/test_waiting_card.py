import numpy as np
import pytest

from app.drawing.waiting import draw_waiting
from app.stream.source_status import SourceStatus

WAITING = SourceStatus("waiting", since=100.0, reason="connection refused", next_try_at=112.0)


def test_the_card_lies_on_the_last_picture_in_grey_and_leaves_it_as_it_is() -> None:
    last = np.zeros((360, 640, 3), np.uint8)
    last[..., 0] = 200
    kept = last.copy()
    picture = draw_waiting(last, "rtsp://camera/live", WAITING, now=108.0)
    assert picture.shape == last.shape
    assert np.array_equal(last, kept)
    corner = picture[:20, :20].astype(int)
    assert np.ptp(corner, axis=2).max() == 0
    assert corner.max() < 60
    middle = picture[140:220, 220:420]
    assert middle.max() > 200, "the card has light letters"


def test_before_the_first_picture_the_card_lies_on_an_empty_one() -> None:
    assert draw_waiting(None, "camera 0", SourceStatus("connecting", since=0.0), now=1.0).shape == (720, 1280, 3)


@pytest.mark.parametrize("hw", [(20, 30), (120, 160), (2160, 3840)])
def test_a_picture_of_any_size_can_wait(hw: tuple[int, int]) -> None:
    last = np.full((*hw, 3), 90, np.uint8)
    assert draw_waiting(last, "rtsp://" + "long" * 100, WAITING).shape == last.shape


def test_the_seconds_on_the_card_go_on() -> None:
    last = np.full((360, 640, 3), 90, np.uint8)
    cards = [draw_waiting(last, "camera", WAITING, now=now) for now in (101.0, 101.1, 102.0)]
    assert np.array_equal(cards[0], cards[1])
    assert not np.array_equal(cards[1], cards[2])
