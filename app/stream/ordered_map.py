"""Work on items in several threads, with the results in the order of the items."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from app.stream.channel import Channel
from app.stream.threads import propagate_outcome, start

Item = TypeVar("Item")
Done = TypeVar("Done")


def ordered_map(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """Yield `work(item)` of each item, in order and as soon as it is done.

    A worker takes its next item itself, when it has finished the one before: no item is taken to wait for a worker.
    A single worker is the caller's thread.

    Args:
        work: called in the threads.
        items: read in the threads, by one at a time: `workers` ahead of what was yielded, or up to twice as many where
            what is yielded is taken slowly.
        workers: how many threads.

    Raises:
        Exception: what `work` raised for the item whose turn it is, or what `items` raised, after the results of all
            items before that.
    """
    return map(work, items) if workers == 1 else _map_in_threads(work, items, workers)


def _map_in_threads(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    begun: Channel[Future[Done]] = Channel(workers)
    turns, remaining = threading.Lock(), iter(items)
    threads = [start(f"ordered-map_{i}", _work, work, remaining, begun, turns) for i in range(workers)]
    try:
        for future in begun:
            yield future.result()
    finally:
        begun.cancel()
        for thread in threads:
            thread.join()


def _work(
    work: Callable[[Item], Done], items: Iterator[Item], begun: Channel[Future[Done]], turns: threading.Lock
) -> None:
    with propagate_outcome(begun):
        for item, future in _claim(items, begun, turns):
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)


def _claim(
    items: Iterator[Item], begun: Channel[Future[Done]], turns: threading.Lock
) -> Iterator[tuple[Item, Future[Done]]]:
    """Take item after item, when it is this thread's turn, and promise the result of each in `begun`."""
    while True:
        future: Future[Done] = Future()
        with turns:
            try:
                item = next(items)
            except StopIteration:
                return
            begun.put(future)
        yield item, future
