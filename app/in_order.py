"""Work on items in several threads, with the results in the order of the items."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from app.channel import Channel
from app.pipeline import ending, start

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(
    work: Callable[[Item], Done], items: Iterable[Item], workers: int, begin: Callable[[], object] | None = None
) -> Iterator[Done]:
    """Yield `work(item)` of each item, in order and as soon as it is done.

    Args:
        work: called in the threads.
        items: read in a thread of its own, at most `workers` + 1 ahead of what was yielded.
        workers: how many threads.
        begin: called first in each of them.

    Raises:
        Exception: what `work` raised for the item whose turn it is, or what `items` raised, after the results of all
            items before that.
    """
    begun: Channel[Future[Done]] = Channel(workers)
    with ThreadPoolExecutor(workers, "in-order", begin) as pool:
        feeder = start("in-order items", _feed, pool, work, items, begun)
        try:
            for future in begun:
                yield future.result()
        finally:
            begun.cancel()
            feeder.join()
            pool.shutdown(cancel_futures=True)


def _feed(
    pool: ThreadPoolExecutor, work: Callable[[Item], Done], items: Iterable[Item], begun: Channel[Future[Done]]
) -> None:
    with ending(begun):
        for item in items:
            begun.put(pool.submit(work, item))
