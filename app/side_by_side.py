"""Several items at work at once, each on its share of the processor's cores; the results come in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Done = TypeVar("Done")

MOST_WORKERS = 4  # each holds the activations of a whole network


def workers_for(device: torch.device) -> int:
    """How many frames of a file should be at work at once on `device`.

    On a CPU the threads that share one small network wait for one another, and for whatever else runs; frames side by
    side do not: on two cores `nano` segments 1.3 times as many. A single frame takes longer, so live sources go one by
    one.
    """
    return min(torch.get_num_threads(), MOST_WORKERS) if device.type == "cpu" else 1


def side_by_side(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """Yield `work(item)` for each of `items`, in order, while the next ones are being worked on.

    Args:
        work: called in `workers` threads, in which torch uses an equal part of the threads that it may use here.
        items: read in the caller's thread, at most `workers` ahead of what was yielded.
        workers: at least 1.

    Raises:
        Exception: what `work` or `items` raised, after the results before it.
    """
    threads = torch.get_num_threads()
    share = max(1, threads // workers)
    pool = ThreadPoolExecutor(workers, "network", torch.set_num_threads, (share,))
    waiting: deque[Future[Done]] = deque()
    failure: BaseException | None = None
    try:
        remaining = iter(items)
        while failure is None:
            try:
                waiting.append(pool.submit(work, next(remaining)))
            except StopIteration:
                break
            except BaseException as error:
                failure = error
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # it also is what threads that are still to come begin with
