import threading
import time

import pytest

from app.stream.channel import Cancelled, Channel, Empty, Finished

SOON = 5.0


def put_in_thread(channel: Channel[int], item: int, outcome: list[object]) -> threading.Thread:
    def put() -> None:
        try:
            channel.put(item)
            outcome.append("put")
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    return thread


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        channel.put(item)
    channel.finish()
    assert list(channel) == [1, 2, 3]


def test_a_full_channel_blocks_the_writer_until_an_item_is_read() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    outcome: list[object] = []
    thread = put_in_thread(channel, 2, outcome)
    thread.join(0.05)
    assert thread.is_alive()
    assert channel.get() == 1
    thread.join(SOON)
    assert outcome == ["put"]
    assert channel.get() == 2


def test_drop_oldest_keeps_the_newest_and_counts_each_loss() -> None:
    losses: list[int] = []
    channel: Channel[int] = Channel(1, "drop_oldest", lambda: losses.append(1))
    for item in range(5):
        channel.put(item)
    assert channel.get() == 4
    assert len(losses) == 4


def test_a_reader_that_waits_in_vain_is_told_so_after_its_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(Empty):
        Channel[int](1).get(timeout=0.05)
    assert time.monotonic() - started >= 0.05


def test_a_finished_channel_gives_what_waits_and_then_its_end() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.finish()
    assert channel.get() == 1
    with pytest.raises(Finished):
        channel.get()


def test_a_failed_channel_gives_what_waits_and_then_the_error() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.fail(OSError("unplugged"))
    seen: list[int] = []
    with pytest.raises(OSError, match="unplugged"):
        seen.extend(channel)
    assert seen == [1]


def test_a_timeout_error_of_the_writer_is_not_mistaken_for_an_empty_channel() -> None:
    channel: Channel[int] = Channel(1)
    channel.fail(TimeoutError("camera"))
    with pytest.raises(TimeoutError, match="camera"):
        channel.get(timeout=0.01)


def test_cancel_wakes_a_writer_that_waits_for_room() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    outcome: list[object] = []
    thread = put_in_thread(channel, 2, outcome)
    thread.join(0.02)
    channel.cancel()
    thread.join(SOON)
    assert isinstance(outcome[0], Cancelled)


def test_cancel_wakes_a_reader_and_ends_its_loop_without_what_was_waiting() -> None:
    channel: Channel[int] = Channel(2)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(channel))
    thread.start()
    channel.cancel()
    thread.join(SOON)
    assert not thread.is_alive()
    assert seen == []


def test_cancel_wins_over_an_earlier_end_and_lets_go_of_what_waits() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.finish()
    channel.cancel()
    with pytest.raises(Cancelled):
        channel.get()


def test_the_first_ending_counts() -> None:
    channel: Channel[int] = Channel(1)
    channel.fail(OSError("first"))
    channel.finish()
    channel.fail(OSError("second"))
    with pytest.raises(OSError, match="first"):
        channel.get()


def test_putting_after_the_end_is_a_mistake_of_the_writer() -> None:
    channel: Channel[int] = Channel(1)
    channel.finish()
    with pytest.raises(RuntimeError, match="ended"):
        channel.put(1)


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Channel[int](0)
