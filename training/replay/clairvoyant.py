"""What foresight could reach: a policy that knows the future, and a bound that no policy passes."""

from __future__ import annotations

import numpy as np

from training.replay.policies import ranked
from training.replay.traces import CacheTrace, Flags, Floats, Ints


def next_requests(entry: Ints) -> Ints:
    """Number of the next request of the same entry, (n,); n where there is none."""
    n = len(entry)
    order = np.lexsort((np.arange(n), entry))
    following = np.full(n, n)
    same = entry[order[1:]] == entry[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following


def belady(trace: CacheTrace, capacity: int, judged_from: int = 0) -> Flags:
    """Evict what is asked for again last (Belady 1966).

    With entries of one size no policy answers more of the requests from `judged_from` on: before
    it, the cache is filled with what is asked for soonest after it.
    """
    following = next_requests(trace.entry)
    while (early := following < judged_from).any():  # look on, to the first request that is judged
        following[early] = following[following[early]]
    ranks = (-following).astype(float).tolist()
    return ranked(trace, capacity, lambda i, _: ranks[i])


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
