"""What a cache keeps: each policy replays all requests and says which of them it answered.

Every policy is a function of the trace and the capacity in bytes, and sees requests one after the
other; only `belady` is told the future. Answers end as the trace says, for all policies alike. They
are plain loops: a million requests take seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from treehouse.platform.replay.traces import CacheTrace, Flags, Floats, Ints

Policy = Callable[[CacheTrace, int], Flags]
Rank = Callable[[int, int], float]
_NEVER = float("inf")
PASSED, HIT, STORED = 0, 1, 2  # a miss that is not kept, an answer from the cache, a miss that is


class Cache(Protocol):
    """What one policy keeps."""

    def ask(self, i: int, entry: int, size: int) -> int:
        """What becomes of request `i`: HIT, or its entry comes in, STORED, or PASSED."""
        ...

    def drop(self, entry: int) -> None:
        """Let go of what has ended; it may have left before."""
        ...


def drive(trace: CacheTrace, cache: Cache) -> NDArray[np.uint8]:
    """What becomes of each request, (n,). What has ended, or is an old version of what is asked
    for, leaves before the request."""
    came = bytearray(len(trace))
    ends = np.full(len(trace), _NEVER) if trace.ends is None else trace.ends
    arrays = (trace.entry, trace.size, trace.time, ends, _replaced(trace))
    columns = [array.tolist() for array in arrays]  # faster to walk
    entries = columns[0]
    computed: dict[int, int] = {}  # entry to the request that computed its latest answer
    by_end: list[tuple[float, int]] = []
    for i, (entry, size, now, end, old) in enumerate(zip(*columns, strict=True)):
        while by_end and by_end[0][0] < now:
            ended = heappop(by_end)[1]
            if computed.get(entries[ended]) == ended:
                del computed[entries[ended]]
                cache.drop(entries[ended])
        if old >= 0:
            cache.drop(old)
        came[i] = cache.ask(i, entry, size)
        if came[i] == STORED and end < _NEVER:
            computed[entry] = i
            heappush(by_end, (end, i))
    return np.frombuffer(came, np.uint8)


def _replaced(trace: CacheTrace) -> Ints:
    """The entry of the request before for the same object, if it was another, (n,); else -1."""
    order = np.argsort(trace.object, kind="stable")
    before, after = order[:-1], order[1:]
    changed = (trace.object[before] == trace.object[after]) & (
        trace.entry[before] != trace.entry[after]
    )
    found = np.full(len(trace), -1)
    found[after[changed]] = trace.entry[before[changed]]
    return found


def hits(trace: CacheTrace, cache: Cache) -> Flags:
    """Which requests a cache answers, (n,)."""
    found: Flags = drive(trace, cache) == HIT
    return found


def nothing(trace: CacheTrace, _: int) -> Flags:
    """No cache at all."""
    return np.zeros(len(trace), bool)


def lru(trace: CacheTrace, capacity: int) -> Flags:
    """Admit everything, evict what was not used for longest."""
    return hits(trace, Lru(capacity))


def fixed_ttl(trace: CacheTrace, capacity: int, seconds: float) -> Flags:
    """LRU whose entries end a fixed time after they came in."""
    return lru(replace(trace, ends=trace.time + seconds), capacity)


class Lru:
    """Everything comes in; what was not used for longest leaves."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used = capacity, 0
        self.sizes: OrderedDict[int, int] = OrderedDict()

    def ask(self, _: int, entry: int, size: int) -> int:
        if entry in self.sizes:
            self.sizes.move_to_end(entry)
            return HIT
        if size > self.capacity:
            return PASSED
        self.sizes[entry] = size
        self.used += size
        while self.used > self.capacity:
            self.used -= self.sizes.popitem(last=False)[1]
        return STORED

    def drop(self, entry: int) -> None:
        self.used -= self.sizes.pop(entry, 0)


def native(trace: CacheTrace, capacity: int, seconds: float = 60.0) -> Flags:
    """ClickHouse's own query cache: a result ends after `query_cache_ttl` and not before, and when
    there is no room but for fresh ones, nothing comes in. Its limits on entries are left out.
    """
    return hits(replace(trace, ends=trace.time + seconds), Native(capacity))


class Native(Lru):
    """What is there stays until it ends; what comes needs room."""

    def ask(self, _: int, entry: int, size: int) -> int:
        if entry in self.sizes:
            return HIT
        if self.used + size > self.capacity:
            return PASSED
        self.sizes[entry] = size
        self.used += size
        return STORED


class Ranked:
    """Keep what ranks highest.

    Attributes:
        capacity: Bytes.
        rank: Of a request, given its number and how often its entry was asked for while it was in
            the cache; an entry ranks as its latest request did.
        aging: Whether ranks rise with the rank of what was evicted last, so that what is asked for
            no more leaves in the end: GreedyDual (Young 1994; Cao and Irani, USITS 1997).
        bypass: Whether what comes may be what leaves, where it ranks lowest; else room is made
            before it comes in.
    """

    def __init__(
        self, capacity: int, rank: Rank, aging: bool = False, bypass: bool = False
    ) -> None:
        self.capacity, self.rank = capacity, rank
        self.aging, self.bypass = aging, bypass
        self.used, self.clock = 0, 0.0
        self.kept: dict[int, tuple[int, int, int]] = {}  # latest request, frequency, size
        self.lowest: list[tuple[float, int, int]] = []  # rank, request, entry; outdated ones too

    def ask(self, i: int, entry: int, size: int) -> int:
        kept = self.kept.get(entry)
        if kept:
            frequency, size = kept[1] + 1, kept[2]  # as it came in
        elif size > self.capacity:
            return PASSED
        else:
            frequency = 1
            if not self.bypass:
                self._make_room(size)
            self.used += size
        self.kept[entry] = (i, frequency, size)
        heappush(self.lowest, (self.clock + self.rank(i, frequency), i, entry))
        self._make_room(0)
        if kept:
            return HIT
        return STORED if entry in self.kept else PASSED

    def _make_room(self, size: int) -> None:
        while self.used + size > self.capacity:
            rank, request, victim = heappop(self.lowest)
            found = self.kept.get(victim)
            if found and found[0] == request:
                self.drop(victim)
                self.clock = rank if self.aging else 0.0

    def drop(self, entry: int) -> None:
        kept = self.kept.pop(entry, None)
        self.used -= kept[2] if kept else 0


def lfu(trace: CacheTrace, capacity: int) -> Flags:
    """Evict what was used least often while it was in the cache. Room is made for what comes, of
    which nothing could be used less often."""
    return hits(trace, Ranked(capacity, lambda _, frequency: frequency))


def gdsf(trace: CacheTrace, capacity: int) -> Flags:
    """GreedyDual-Size-Frequency (Cherkasova 1998): frequency times cost by size, with aging."""
    return hits(trace, greedy_dual(trace, capacity))


def greedy_dual(trace: CacheTrace, capacity: int) -> Ranked:
    """The cache of `gdsf`. Ranks are by the megabyte, so that equal ones mostly stay equal when the
    clock is added."""
    density = value_density(trace.cost * 1e6, trace.size)
    return Ranked(capacity, lambda i, frequency: frequency * density[i], aging=True, bypass=True)


def value_density(value: Floats, size: Ints) -> list[float]:
    """What a byte of each request's entry is worth."""
    density: list[float] = (value / np.maximum(size, 1)).tolist()
    return density
