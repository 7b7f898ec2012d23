"""What the result store keeps, replayed: answers by their worth, some of them computed ahead."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil, exp

import numpy as np

from treehouse.platform.replay.admission_trace import Asked
from treehouse.platform.replay.cache_policies import HIT, PASSED, STORED


class Admission:
    """Keeps what is admitted; without room, what is worth least leaves, which may be what comes.

    The worth is that of cache_admission_decisions, by what the model said at the latest request;
    what comes has storing still to pay for.
    """

    def __init__(self, asked: Asked, capacity: int) -> None:
        trace = asked.trace
        self.capacity, self.used = capacity, 0
        self.admit, self.time = asked.admit.tolist(), trace.time.tolist()
        saved, size = asked.reuse * asked.saved, np.maximum(trace.size, 1)
        self.density = (saved / size).tolist()
        self.density_at_first = ((saved - asked.store_seconds) / size).tolist()
        self.newest = -1
        self.expected = np.maximum(asked.kept_seconds, 1.0).tolist()
        self.kept: dict[int, tuple[int, int]] = {}  # latest request and size

    def ask(self, i: int, entry: int, size: int) -> int:
        kept = self.kept.get(entry)
        if kept:
            self.kept[entry] = (i, kept[1])
            return HIT
        if size > self.capacity or not self.admit[i]:
            return PASSED
        self.kept[entry] = (i, size)
        self.used += size
        self.newest = i
        now = self.time[i]
        while self.used > self.capacity:
            self.drop(min(self.kept, key=lambda entry: self._worth(self.kept[entry][0], now)))
        return STORED if entry in self.kept else PASSED

    def drop(self, entry: int) -> None:
        kept = self.kept.pop(entry, None)
        self.used -= kept[1] if kept else 0

    def _worth(self, latest: int, now: float) -> float:
        density = self.density_at_first if latest == self.newest else self.density
        waits = max(self.expected[latest], (now - self.time[latest]) / 2)
        return float(density[latest] / waits)


class Filled(Admission):
    """The same, and passes of `cache fill` compute an answer anew, before anybody asks, when half
    of what is allowed has gone since it was last known to hold.

    They do so if the latest request was admitted and the chance that the same is still to be asked
    is at least `least`, of which the second counts where the answer was read since it was computed.
    The chance is `reuse` at the latest request and, by Bayes, less with every second since, as if
    waits were exponential with the mean `kept_seconds`. It is given requests without ends, for it
    lets its answers end itself.

    Attributes:
        filled: The latest request before each answer that was computed ahead, and when.
        changed: When the tables under what answered each request were first written, (n,).
    """

    def __init__(self, asked: Asked, capacity: int, least: tuple[float, float]) -> None:
        super().__init__(asked, capacity)
        self.asked, self.least = asked, least
        self.reuse, self.allowed = asked.reuse.tolist(), asked.allowed.tolist()
        self.filled: list[tuple[int, float]] = []
        self.changed = asked.changed_at.copy()
        self.lives: dict[int, tuple[float, float, float]] = {}  # computed, changed, ends

    def ask(self, i: int, entry: int, size: int) -> int:
        now = self.time[i]
        for kept in (entry, *self.kept) if self.used + size > self.capacity else (entry,):
            self.settle(kept, now)
        came = super().ask(i, entry, size)
        if came == HIT:
            self.changed[i] = self.lives[entry][1]
        elif came == STORED:
            self.lives[entry] = self.life(entry, now, self.allowed[i])
        return came

    def settle(self, entry: int, now: float) -> None:
        """Compute anew what was due up to `now`, and let go of what has ended."""
        every = self.asked.pass_seconds
        while entry in self.kept:
            latest, (computed, _, end) = self.kept[entry][0], self.lives[entry]
            allowed = self.allowed[latest]
            # Of the passes without a request between them the first one is the likeliest to do it.
            at = ceil(max(end - allowed / 2, self.time[latest]) / every) * every
            if at <= min(now, end) and self.admit[latest] and self._is_wanted(latest, computed, at):
                self.filled.append((latest, at))
                self.lives[entry] = self.life(entry, at, allowed)
            elif end < now:
                self.drop(entry)
            else:
                return

    def _is_wanted(self, latest: int, computed: float, at: float) -> bool:
        reuse, waited = self.reuse[latest], at - self.time[latest]
        still = reuse * exp(-min(700.0, waited / self.expected[latest]))  # but never 0
        least = self.least[self.time[latest] > computed]
        return bool(still >= least * (still + (1 - reuse)))

    def life(self, entry: int, computed: float, allowed: float) -> tuple[float, float, float]:
        """When an answer was computed, is changed, and ends: as cache_admission_lives."""
        written, every = self.asked.written[entry], self.asked.pass_seconds
        place = bisect_left(written, computed)
        changed = written[place] if place < len(written) else float("inf")
        last = min(changed, computed + self.asked.horizon_seconds)
        ends = max(computed, (ceil(last / every) - 1) * every) + allowed
        return computed, changed, ends
