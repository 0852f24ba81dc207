"""How many threads one network runs on, chosen by how long its calls take.

The threads of an OpenMP pool wait for each other at the end of every operation, some 150 times in a small network.
Where another process holds a core, each wait lasts until the system gives that core back, and two threads are slower
than one. Where the cores are free, more threads are faster. So the count is what was faster lately.
"""

PROBE_FIRST = 5  # calls: then another count is tried, for one call
PROBE_EVERY = 40  # calls, later on
MIN_GAIN = 0.9  # another count must take less than this part of the time
NEWEST_SHARE = 0.3  # of the newest call in the mean of a count


class ThreadCount:
    """Chooses between `most` threads, half of them, and so on down to 1.

    Ask `next` before each call, and tell `took` after it. The first calls run on all threads.
    """

    def __init__(self, most: int) -> None:
        """Begin with `most` threads."""
        self.counts = [most]
        while self.counts[-1] > 1:
            self.counts.append(self.counts[-1] // 2)
        self._chosen = 0
        self._seconds: dict[int, float] = {}
        self._calls = 0
        self._side = 1

    def next(self) -> int:
        """Return how many threads the next call takes: the chosen count, now and then a neighbour of it."""
        self._calls += 1
        if self._calls != PROBE_FIRST and self._calls % PROBE_EVERY:
            return self.counts[self._chosen]
        self._side = -self._side
        neighbours = [self._chosen + side for side in (self._side, -self._side)]
        return next((self.counts[i] for i in neighbours if 0 <= i < len(self.counts)), self.counts[self._chosen])

    def took(self, count: int, seconds: float) -> None:
        """Take note of how long a call on `count` threads took, and choose the count that is the fastest by now."""
        is_chosen = count == self.counts[self._chosen]
        before = self._seconds.get(count, seconds) if is_chosen else seconds  # what was tried long ago does not count
        self._seconds[count] = before + NEWEST_SHARE * (seconds - before)
        best = min(self._seconds, key=self._seconds.__getitem__)
        if self._seconds[best] < MIN_GAIN * self._seconds.get(self.counts[self._chosen], float("inf")):
            self._chosen = self.counts.index(best)
