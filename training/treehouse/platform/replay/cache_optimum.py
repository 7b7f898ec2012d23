"""What foresight could reach: a policy that knows the future, and a bound that no policy passes."""

from __future__ import annotations

import numpy as np

from treehouse.platform.replay.cache_policies import Ranked, hits, value_density
from treehouse.platform.replay.cache_sampled import Sampled
from treehouse.platform.replay.traces import CacheTrace, Flags, Floats, Ints

_SAMPLE = 64  # candidates of an eviction by size


def next_requests(entry: Ints) -> Ints:
    """Number of the next request of the same entry, (n,); n where there is none."""
    n = len(entry)
    order = np.lexsort((np.arange(n), entry))
    following = np.full(n, n)
    same = entry[order[1:]] == entry[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following


def next_judged(trace: CacheTrace, judged_from: int) -> Ints:
    """Number of the next request of the same entry from `judged_from` on, (n,); n where another
    version comes first, or none."""
    following = next_requests(trace.object)
    entries = np.append(trace.entry, -1)
    following[entries[following] != trace.entry] = len(trace)
    while (early := following < judged_from).any():
        following[early] = following[following[early]]
    return following


def belady(trace: CacheTrace, capacity: int, judged_from: int = 0) -> Flags:
    """Evict what is asked for again last (Belady 1966), or not before its answer ends.

    With entries of one size that never end no policy answers more of the requests from
    `judged_from` on: before it, the cache is filled with what is asked for soonest after it. With
    room for all, none answers more of those that end: an answer is computed as late as can be.
    """
    return hits(trace, Belady(trace, capacity, judged_from))


class Belady(Ranked):
    """The cache of `belady`."""

    def __init__(self, trace: CacheTrace, capacity: int, judged_from: int) -> None:
        following = next_judged(trace, judged_from)
        super().__init__(capacity, lambda i, _: self.ranks[i], bypass=True)
        self.ranks = (-following).astype(float).tolist()
        times = np.append(trace.time, np.inf)  # of no next request
        self.next_at = times[following].tolist()
        self.ends = None if trace.ends is None else trace.ends.tolist()
        self.end_of: dict[int, float] = {}

    def ask(self, i: int, entry: int, size: int) -> int:
        if self.ends is not None:
            if entry not in self.kept:
                self.end_of[entry] = self.ends[i]
            if self.next_at[i] > self.end_of[entry]:
                self.ranks[i] = -np.inf
        return super().ask(i, entry, size)


def belady_size(trace: CacheTrace, capacity: int, judged_from: int, value: Floats) -> Flags:
    """Evict what takes most bytes and requests until it is asked for again, for its value, (n,):
    Belady's rule for entries of varied sizes. No optimum, which is hard to find; the `upper_bound`
    is beyond it."""
    return hits(trace, BeladySize(trace, capacity, judged_from, value))


class BeladySize(Sampled):
    """The cache of `belady_size`."""

    def __init__(self, trace: CacheTrace, capacity: int, judged_from: int, value: Floats) -> None:
        super().__init__(capacity, _SAMPLE)
        following = next_judged(trace, judged_from)
        self.never = len(trace)
        self.following = following.tolist()
        self.density = value_density(value, trace.size)

    def rank(self, latest: int, now: int) -> float:
        """Less than 0 for what is not asked for again."""
        following = self.following[latest]
        if following == self.never:
            return -1.0
        return float(self.density[latest] / max(1, following - now))


def upper_bound(trace: CacheTrace, capacity: int, judged_from: int, value: Floats) -> float:
    """At most this much of `value`, (n,), can be answered from the cache from `judged_from` on.

    PFOO-U (Berger, Beckmann and Harchol-Balter, SIGMETRICS 2018): to answer a request, its entry
    has to lie in the cache since the one before, which takes bytes times requests; the cheapest
    such intervals are taken until the whole cache over the whole time is used up, as if they could
    be packed without loss. How it came there before `judged_from` is free.
    """
    n = len(trace)
    following = next_requests(trace.entry)
    before = np.flatnonzero(following < n)
    after = following[before]
    fits = (after >= judged_from) & (trace.size[after] <= capacity)
    before, after = before[fits], after[fits]
    volume = trace.size[after] * (after - np.maximum(before, judged_from - 1)).astype(float)
    gain = value[after].astype(float)
    order = np.argsort(volume / np.maximum(gain, 1e-12), kind="stable")
    volume, gain = volume[order], gain[order]
    room = float(capacity) * (n - max(1, judged_from))  # one turn between every two requests
    taken = np.clip((room - (np.cumsum(volume) - volume)) / np.maximum(volume, 1e-9), 0, 1)
    return float((gain * taken).sum())
