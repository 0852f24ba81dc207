"""Who sends requests, and how much each may have at a time: guesses at the login, and pictures."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

from starlette.types import Scope

MAX_ATTEMPTS, ATTEMPT_SECONDS = 5, 60.0
MAX_BACK_OFF_SECONDS = 3600.0
MAX_SENDERS = 10_000


class LoginThrottle:
    """Counts failed logins by sender: five a minute, and after each five a pause that doubles, up to an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of none."""
        self._clock = clock
        self._begun: dict[str, deque[float]] = {}
        self._closed_until: dict[str, tuple[float, float]] = {}  # when the pause ends, and how long it was

    def begin(self, who: str) -> float:
        """Count a try before it is known how it ends; return for how many seconds `who` must wait first."""
        now = self._clock()
        until, pause = self._closed_until.get(who, (0.0, 0.0))
        if now < until:
            return until - now
        if len(self._begun) >= MAX_SENDERS:
            self._drop_old(now)
        tries = self._begun.setdefault(who, deque(maxlen=MAX_ATTEMPTS))
        if len(tries) == MAX_ATTEMPTS and now - tries[0] < ATTEMPT_SECONDS:
            pause = min(max(ATTEMPT_SECONDS, 2 * pause), MAX_BACK_OFF_SECONDS)
            self._closed_until[who] = now + pause, pause
            tries.clear()
            return pause
        tries.append(now)
        return 0.0

    def forget(self, who: str) -> None:
        """Note that `who` has given the right password."""
        self._begun.pop(who, None)
        self._closed_until.pop(who, None)

    def _drop_old(self, now: float) -> None:
        for who in [who for who, tries in self._begun.items() if not tries or now - tries[-1] > ATTEMPT_SECONDS]:
            del self._begun[who]
        for who in [who for who, (until, pause) in self._closed_until.items() if now > until + pause]:
            del self._closed_until[who]


def sender_of(scope: Scope) -> str:
    """Return by what a sender is known: its address, or its network where one sender has many addresses (IPv6)."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else host


class RequestSlots:
    """Lets a few at a time read and work, of each sender fewer, and only so many wait."""

    def __init__(self, total: int, each: int, max_waiting: int) -> None:
        """All places are free."""
        self._total, self._each, self._max_waiting = total, each, max_waiting
        self._taken: Counter[str] = Counter()
        self._waiting = 0
        self._left = asyncio.Condition()

    @asynccontextmanager
    async def take(self, who: str) -> AsyncIterator[bool]:
        """Wait for a place and hold it within the block; yield False, without one, where too many wait already."""
        if self._waiting >= self._max_waiting:
            yield False
            return
        async with self._left:
            self._waiting += 1
            try:
                await self._left.wait_for(lambda: self._taken.total() < self._total and self._taken[who] < self._each)
            finally:
                self._waiting -= 1
            self._taken[who] += 1
        try:
            yield True
        finally:
            async with self._left:
                self._taken[who] -= 1
                if not self._taken[who]:
                    del self._taken[who]
                self._left.notify_all()
