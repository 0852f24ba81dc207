"""Values that are computed once, when somebody first asks for them, and not at all where nobody does."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Keeps what the first `get` computes; other threads that ask meanwhile wait for it."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._values: list[T] = []
        self._lock = threading.Lock()

    def get(self, compute: Callable[[], T]) -> T:
        """Return the kept value, or compute and keep it; an error is passed on, and nothing is kept."""
        with self._lock:
            if not self._values:
                self._values.append(compute())
            return self._values[0]


class Lazy(Generic[T]):
    """A value that is computed by `compute` in the thread that first asks for it."""

    def __init__(self, compute: Callable[[], T]) -> None:
        """Compute nothing yet."""
        self._compute: Callable[[], T] | None = compute
        self._once: Once[T] = Once()

    def get(self) -> T:
        """Return the value."""
        return self._once.get(self._run)

    def _run(self) -> T:
        if self._compute is None:
            raise RuntimeError("a lazy value was computed twice")
        value = self._compute()
        self._compute = None  # what it was computed from may be large
        return value
