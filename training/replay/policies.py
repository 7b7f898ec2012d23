"""What a cache keeps: each policy replays all requests and says which of them it answered.

Every policy is a function of the trace and the capacity in bytes, and sees requests one after the
other; only `belady` is told the future. They are plain loops: a million requests take seconds.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np

from training.replay.traces import CacheTrace, Flags, Floats, Ints

Policy = Callable[[CacheTrace, int], Flags]
Rank = Callable[[int, int], float]


def nothing(trace: CacheTrace, _: int) -> Flags:
    """No cache at all."""
    return np.zeros(len(trace), bool)


def lru(trace: CacheTrace, capacity: int) -> Flags:
    """Admit everything, evict what was not used for longest."""
    return fixed_ttl(trace, capacity, float("inf"))


def fixed_ttl(trace: CacheTrace, capacity: int, seconds: float) -> Flags:
    """LRU whose entries end a fixed time after they came in."""
    hits = bytearray(len(trace))
    cache: OrderedDict[int, tuple[int, float]] = OrderedDict()
    used = 0
    for i, (entry, size, now) in enumerate(requests(trace)):
        kept = cache.pop(entry, None)
        if kept and now - kept[1] <= seconds:
            hits[i] = True
            cache[entry] = kept
            continue
        used -= kept[0] if kept else 0
        if size <= capacity:
            cache[entry] = (size, now)
            used += size
            while used > capacity:
                used -= cache.popitem(last=False)[1][0]
    return flags(hits)


def native(trace: CacheTrace, capacity: int, seconds: float = 60.0) -> Flags:
    """ClickHouse's own query cache: a result ends after `query_cache_ttl` and not before, and when
    there is no room but for fresh ones, nothing comes in. Its limits on entries are left out.
    """
    hits = bytearray(len(trace))
    cache: dict[int, float] = {}
    by_age: deque[tuple[float, int, int]] = deque()
    used = 0
    for i, (entry, size, now) in enumerate(requests(trace)):
        while by_age and by_age[0][0] < now - seconds:
            _, stale, its_size = by_age.popleft()
            del cache[stale]
            used -= its_size
        if entry in cache:
            hits[i] = True
        elif used + size <= capacity:
            cache[entry] = now
            by_age.append((now, entry, size))
            used += size
    return flags(hits)


def ranked(trace: CacheTrace, capacity: int, rank: Rank, aging: bool = False) -> Flags:
    """Keep what ranks highest.

    Args:
        trace: Requests.
        capacity: Bytes.
        rank: Of a request, given its number and how often its entry was asked for while it was in
            the cache; an entry ranks as its latest request did.
        aging: Whether ranks rise with the rank of what was evicted last, so that what is asked for
            no more leaves in the end: GreedyDual (Young 1994; Cao and Irani, USITS 1997).
    """
    hits = bytearray(len(trace))
    cache: dict[int, tuple[float, int, int]] = {}  # rank, frequency, size
    heap: list[tuple[float, int, int]] = []  # rank, number, entry; outdated ones stay until popped
    used, clock = 0, 0.0
    for i, (entry, size, _) in enumerate(requests(trace)):
        kept = cache.get(entry)
        if kept:
            hits[i] = True
        elif size > capacity:
            continue
        else:
            used += size
        frequency = kept[1] + 1 if kept else 1
        its_rank = clock + rank(i, frequency)
        cache[entry] = (its_rank, frequency, size)
        heappush(heap, (its_rank, i, entry))
        while used > capacity:
            lowest, _, victim = heappop(heap)
            found = cache.get(victim)
            if found and found[0] == lowest:
                del cache[victim]
                used -= found[2]
                clock = lowest if aging else 0.0
    return flags(hits)


def lfu(trace: CacheTrace, capacity: int) -> Flags:
    """Evict what was used least often while it was in the cache."""
    return ranked(trace, capacity, lambda _, frequency: frequency)


def gdsf(trace: CacheTrace, capacity: int) -> Flags:
    """GreedyDual-Size-Frequency (Cherkasova 1998): frequency times cost by size, with aging."""
    density = value_density(trace.cost, trace.size)
    return ranked(trace, capacity, lambda i, frequency: frequency * density[i], aging=True)


def value_density(value: Floats, size: Ints) -> list[float]:
    """What a byte of each request's entry is worth."""
    density: list[float] = (value / np.maximum(size, 1)).tolist()
    return density


def requests(trace: CacheTrace) -> zip[tuple[int, int, float]]:
    """Entry, size and time of each; lists are faster to walk than arrays."""
    return zip(trace.entry.tolist(), trace.size.tolist(), trace.time.tolist(), strict=True)


def flags(hits: bytearray) -> Flags:
    """Bytes of 0 and 1 as booleans."""
    return np.frombuffer(hits, np.uint8).astype(bool)
