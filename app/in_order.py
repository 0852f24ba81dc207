"""Work on items in several threads, with the results in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(
    work: Callable[[Item], Done], items: Iterable[Item], workers: int, begin: Callable[[], object] | None = None
) -> Iterator[Done]:
    """Yield `work(item)` of each item, in order; no more than `workers` items are taken before they are asked for.

    Args:
        work: called in the threads.
        items: read in the caller's thread.
        workers: how many threads.
        begin: called first in each of them.

    Raises:
        Exception: what `work` raised for the item whose turn it is, or what `items` raised, after the results of all
            items before that.
    """
    waiting: deque[Future[Done]] = deque()
    source, failure, is_open = iter(items), None, True
    with ThreadPoolExecutor(workers, "in-order", begin) as pool:
        try:
            while is_open or waiting:
                try:
                    if is_open:
                        waiting.append(pool.submit(work, next(source)))
                except StopIteration:
                    is_open = False
                except Exception as error:  # its turn comes after those that wait
                    failure, is_open = error, False
                if waiting and (len(waiting) > workers or not is_open):
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if failure is not None:
        raise failure
