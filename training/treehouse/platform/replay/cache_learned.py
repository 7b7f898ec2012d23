"""A cache that learns when entries will be asked for again.

Boosted trees are fitted on the first part of a trace: from what is known at a request (ages since
earlier requests, decayed counts, size and cost, much as LRB: Song et al., NSDI 2020) they tell the
chance that its entry is asked for in each octave of requests to come, 1, 2, 4, 8 and so on, if it
was not before. That is a survival curve in discrete time (Singer and Willett 1993), and what it is
worth to keep the entry follows from it for every age. What is worth least for its bytes is evicted,
of a random sample, as LHD does (Beckmann, Chen and Cidon, NSDI 2018).
"""

from __future__ import annotations

from collections import deque

import numpy as np
import xgboost
from numpy.typing import NDArray

from treehouse.platform.replay.cache_optimum import next_requests
from treehouse.platform.replay.cache_policies import hits, value_density
from treehouse.platform.replay.cache_sampled import Sampled
from treehouse.platform.replay.traces import CacheTrace, Flags, Floats

DELTAS = 4  # ages of that many earlier requests
HALF_LIVES = tuple(2.0**k for k in (5, 8, 11, 14, 17))  # of the counts, in requests
FEATURES = (
    *(f"age_{i + 1}" for i in range(DELTAS)),
    *(f"count_{int(half_life)}" for half_life in HALF_LIVES),
    "seconds_since_last", "requests_so_far", "versions_so_far", "requests_of_version",
    "seconds_of_version", "size", "cost", "hour_of_day",
)  # fmt: skip
Worth = NDArray[np.float32]
_MAX_REQUESTS = 40_000  # that are learned from; each is a row for every octave that it waited
_CHUNK = 100_000  # requests that are predicted at once, which bounds the memory
_SAMPLE = 32  # candidates of an eviction
_PARAMETERS = {
    "objective": "binary:logistic",
    "max_depth": 6,
    "learning_rate": 0.1,
    "tree_method": "hist",
    "nthread": 2,
    "seed": 1,
}
_ROUNDS = 100
_LEAF_SHARE = 0.0005  # of the rows: waits are noisy, and smaller leaves fit the noise


def fit(trace: CacheTrace, judged_from: int) -> Worth:
    """Learn from the requests before `judged_from`; what comes after is only predicted.

    Returns:
        What the entry of each request is worth, (n, octaves): by how many octaves of requests it
        has waited for the next one, the most requests that it answers for each that it waits on.
    """
    n = len(trace)
    rows = features(trace)
    octaves = 1 + n.bit_length()
    requests, octave, asked = _waits(trace, max(1, judged_from), octaves)
    if not len(requests):
        return np.ones((n, octaves), np.float32)
    share = float(np.clip(asked.mean(), 1e-6, 1 - 1e-6))
    booster = xgboost.train(
        _PARAMETERS
        | {"base_score": share, "min_child_weight": len(asked) * _LEAF_SHARE * share * (1 - share)},
        xgboost.DMatrix(np.column_stack([rows[requests], octave]), asked),
        _ROUNDS,
    )
    worth = np.empty((n, octaves), np.float32)
    for begin in range(0, n, _CHUNK):
        part = rows[begin : begin + _CHUNK]
        worth[begin : begin + _CHUNK] = _worth(np.column_stack([
            booster.inplace_predict(np.column_stack([part, np.full(len(part), k, np.float32)]))
            for k in range(octaves)
        ]))  # fmt: skip
    return worth


def _waits(
    trace: CacheTrace, n: int, octaves: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of the first `n` requests: a row for every octave that began before the next one of the same
    entry: the request, the octave, and whether it came in it. What was not seen to its end is left
    out."""
    following = next_requests(trace.entry[:n])
    chosen = np.arange(n)
    if n > _MAX_REQUESTS:
        chosen = np.sort(np.random.default_rng(1).choice(n, _MAX_REQUESTS, replace=False))
    wait = np.where(following < n, following - np.arange(n), 2 * len(trace))[chosen]
    seen = n - 1 - chosen
    found = [np.flatnonzero(
        (wait > (1 << k) // 2) & ((wait <= 1 << k) | (seen >= 1 << k))
    ) for k in range(octaves)]  # fmt: skip
    octave = np.repeat(np.arange(octaves), [len(rows) for rows in found])
    rows = np.concatenate(found)
    return chosen[rows], octave, wait[rows] <= 1 << octave


def _worth(hazard: Worth) -> Worth:
    """The index of Gittins (1979) for one entry: over all times to go on waiting, the largest ratio
    of the chance of a request to the mean wait.

    Args:
        hazard: The chance of a request in an octave if there was none before, (n, octaves).
    """
    n, octaves = hazard.shape
    worth = np.zeros_like(hazard)
    for age in range(octaves):
        left, wait = np.ones(n, np.float32), np.zeros(n, np.float32)
        for k in range(age, octaves):
            here = hazard[:, k]
            wait += left * ((1 << k) - (1 << k) // 2) * (1 - here / 2)  # half of it, if it came
            left = left * (1 - here)
            np.maximum(worth[:, age], (1 - left) / wait, out=worth[:, age])
    return worth


def replay(trace: CacheTrace, capacity: int, worth: Worth, value: Floats) -> Flags:
    """Which requests a cache answers that keeps what is worth most for its bytes, (n,)."""
    return hits(trace, Learned(trace, capacity, worth, value))


class Learned(Sampled):
    """The cache of `replay`."""

    def __init__(self, trace: CacheTrace, capacity: int, worth: Worth, value: Floats) -> None:
        super().__init__(capacity, _SAMPLE)
        self.density = value_density(value, trace.size)
        self.octaves = worth.shape[1]
        self.worth = worth.ravel().data  # as lists, a million requests would take a gigabyte

    def rank(self, latest: int, now: int) -> float:
        """What it is worth for its bytes."""
        worth = self.worth[latest * self.octaves + (now - latest).bit_length()]
        return float(worth * self.density[latest])


def features(trace: CacheTrace) -> NDArray[np.float32]:
    """What is known of each request when it comes, (n, len(FEATURES)); NaN: never before."""
    rows = np.full((len(trace), len(FEATURES)), np.nan, np.float32)
    histories: dict[int, _History] = {}
    columns = (trace.object.tolist(), trace.entry.tolist(), trace.time.tolist())
    for i, (item, entry, now) in enumerate(zip(*columns, strict=True)):
        history = histories.get(item)
        if history is None:
            history = histories[item] = _History()
        rows[i, : len(FEATURES) - 3] = history.see(i, entry, now)
    rows[:, -3] = np.log1p(trace.size)
    rows[:, -2] = np.log1p(trace.cost)
    rows[:, -1] = trace.time // 3600 % 24
    return rows


class _History:
    """What is known of one object: it grows by one request after the other."""

    __slots__ = (
        "counts",
        "entry",
        "entry_since",
        "last",
        "of_entry",
        "requests",
        "seen",
        "versions",
    )

    def __init__(self) -> None:
        self.seen: deque[int] = deque(maxlen=DELTAS)
        self.counts = [0.0] * len(HALF_LIVES)
        self.entry, self.versions, self.of_entry = -1, 0, 0
        self.requests, self.last, self.entry_since = 0, float("nan"), float("nan")

    def see(self, i: int, entry: int, now: float) -> list[float]:
        """The features of request `i`, which is then part of the history."""
        ages = [float(i - earlier) for earlier in self.seen]
        ages += [float("nan")] * (DELTAS - len(ages))
        if self.seen:
            self.counts = [
                1 + count * 0.5 ** (ages[0] / half_life)
                for count, half_life in zip(self.counts, HALF_LIVES, strict=True)
            ]
        else:
            self.counts = [1.0] * len(HALF_LIVES)
        if entry != self.entry:
            self.entry, self.entry_since = entry, now
            self.versions, self.of_entry = self.versions + 1, 0
        row = [*ages, *self.counts, now - self.last, self.requests, self.versions, self.of_entry,
               now - self.entry_since]  # fmt: skip
        self.seen.appendleft(i)
        self.last = now
        self.requests += 1
        self.of_entry += 1
        return row
