"""Work on items in several threads, with the results in the order of the items."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


class _Finished(Exception):  # noqa: N818 - an outcome, not an error
    """There are no more items."""


def ordered_map(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """Yield `work(item)` of each item, in order and as soon as it is done.

    A worker takes its next item itself, when it has finished the one before: no item is taken to wait for a worker.
    A single worker is the caller's thread.

    Args:
        work: called in the threads.
        items: read in the threads, by one at a time: at most `workers + 1` ahead of what was yielded.
        workers: how many threads.

    Raises:
        Exception: what `work` raised for the item whose turn it is, or what `items` raised, after the results of all
            items before that.
    """
    return map(work, items) if workers == 1 else _map_in_threads(work, items, workers)


def _map_in_threads(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    begun = _Started[Item, Done](items, workers + 1)
    threads = [
        threading.Thread(target=_work, args=(work, begun), name=f"ordered-map_{number}", daemon=True)
        for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        while True:
            try:
                result = begun.take()
            except _Finished:
                return
            yield result
    finally:
        begun.close(workers)
        for thread in threads:
            thread.join()


def _work(work: Callable[[Item], Done], begun: "_Started[Item, Done]") -> None:
    while claimed := begun.claim():
        item, future = claimed
        try:
            future.set_result(work(item))
        except BaseException as error:
            future.set_exception(error)


class _Started(Generic[Item, Done]):
    """The items that were taken and whose results were not yet asked for, in order."""

    def __init__(self, items: Iterable[Item], capacity: int) -> None:
        """Take at most `capacity` of `items` ahead."""
        self._items = iter(items)
        self._turn = threading.Lock()
        self._is_closed = False
        self._free = threading.Semaphore(capacity)
        self._futures: SimpleQueue[Future[Done]] = SimpleQueue()

    def claim(self) -> tuple[Item, Future[Done]] | None:
        """Return the next item, and where its result goes; None when there is none."""
        self._free.acquire()
        future: Future[Done] = Future()
        with self._turn:
            if self._is_closed:
                return None
            self._futures.put(future)
            try:
                return next(self._items), future
            except StopIteration:
                future.set_exception(_Finished())
            except BaseException as error:
                future.set_exception(error)
            self._is_closed = True
            return None

    def take(self) -> Done:
        """Wait for the oldest result; raise what its work raised, or `_Finished`."""
        result = self._futures.get().result()
        self._free.release()
        return result

    def close(self, workers: int) -> None:
        """Let waiting workers end."""
        self._is_closed = True
        self._free.release(workers)
