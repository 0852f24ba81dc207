"""Frames at work side by side: in order, on a share of the cores each, and ended whatever happens."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from app.side_by_side import MOST_WORKERS, side_by_side, workers_for


def network_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("network")]


def test_results_come_in_order_though_the_first_takes_longest() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return number

    assert list(side_by_side(work, range(5), 3)) == [0, 1, 2, 3, 4]
    assert network_threads() == []


def test_as_many_are_at_work_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=20)
    assert list(side_by_side(lambda number: together.wait() * 0 + number, range(6), 3)) == list(range(6))


def test_each_worker_has_its_share_of_the_threads_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        shares = set(side_by_side(lambda _: torch.get_num_threads(), range(8), 2))
        assert shares == {2}
        assert torch.get_num_threads() == 4
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [4]
    finally:
        torch.set_num_threads(before)


def test_items_are_read_a_little_ahead_only() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    results = side_by_side(lambda number: number, items(), 2)
    assert next(results) == 0
    assert len(read) <= 3
    results.close()  # type: ignore[attr-defined]
    assert network_threads() == []


def test_an_error_of_the_work_comes_after_the_results_before_it() -> None:
    results = side_by_side(lambda number: 6 // (3 - number), range(6), 2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert network_threads() == []


def test_an_error_of_the_items_comes_after_the_results_of_those_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("cut off")

    results = side_by_side(lambda number: 10 * number, items(), 3)
    assert [next(results), next(results)] == [10, 20]
    with pytest.raises(OSError, match="cut off"):
        next(results)


def test_a_cpu_gets_a_few_workers_and_a_gpu_one() -> None:
    assert 1 <= workers_for(torch.device("cpu")) <= MOST_WORKERS
    assert workers_for(torch.device("cuda")) == 1
