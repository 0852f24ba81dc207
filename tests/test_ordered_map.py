"""Work in several threads: in order, a little ahead, and ended whatever happens."""

import threading
import time
from collections.abc import Iterator

import pytest

from solov2.ordered_map import ordered_map


def workers_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ordered-map")]


def test_results_come_in_order_though_the_first_takes_longest() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return number

    assert list(ordered_map(work, range(5), 3)) == [0, 1, 2, 3, 4]
    assert workers_left() == []


def test_as_many_are_at_work_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=20)
    assert list(ordered_map(lambda number: together.wait() * 0 + number, range(6), 3)) == list(range(6))


def test_a_single_worker_is_the_callers_thread() -> None:
    caller = threading.current_thread()
    assert list(ordered_map(lambda number: threading.current_thread() is caller, range(3), 1)) == [True] * 3


def test_a_result_does_not_wait_for_items_that_have_not_come() -> None:
    go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert go_on.wait(20)
        yield 2

    results = ordered_map(lambda number: number, items(), 3)
    assert next(results) == 1  # the second is still to come
    go_on.set()
    assert list(results) == [2]


def test_it_runs_no_further_ahead_than_there_are_workers() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, items(), 4)
    assert [next(results) for _ in range(20)] == list(range(20))
    assert len(taken) <= 20 + 4 + 1
    results.close()  # type: ignore[attr-defined]
    assert workers_left() == []


def test_no_item_is_taken_to_wait_for_a_worker() -> None:
    taken: list[int] = []
    go_on = threading.Event()

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    def work(number: int) -> int:
        assert number == 0 or go_on.wait(20)
        return number

    results = ordered_map(work, items(), 2)
    assert next(results) == 0
    time.sleep(0.2)
    assert taken == [0, 1, 2]  # the last two are at work
    go_on.set()
    assert list(results) == list(range(1, 50))


def test_an_error_of_the_work_comes_after_the_results_before_it() -> None:
    results = ordered_map(lambda number: 6 // (3 - number), range(6), 2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert workers_left() == []


def test_an_error_of_the_items_comes_after_the_results_of_those_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("cut off")

    results = ordered_map(lambda number: 10 * number, items(), 3)
    assert [next(results), next(results)] == [10, 20]
    with pytest.raises(OSError, match="cut off"):
        next(results)
