"""A cache that learns which entries will be asked for again soon.

Boosted trees are fitted on the first part of a trace to tell how many requests pass until an entry
is asked for again, from what is known at a request: ages since earlier requests, decayed counts,
size and cost, much as LRB (Song et al., NSDI 2020). What they predict is cut into classes, and from
the same part each class has a table of how much an entry of some age is still worth. What is worth
least for its bytes is evicted, of a random sample, as LHD does (Beckmann, Chen and Cidon, NSDI
2018).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import xgboost
from numpy.typing import NDArray

from training.replay.clairvoyant import next_requests
from training.replay.policies import value_density
from training.replay.traces import CacheTrace, Flags, Floats, Ints

DELTAS = 4  # ages of that many earlier requests
HALF_LIVES = tuple(2.0**k for k in (5, 8, 11, 14, 17))  # of the counts, in requests
FEATURES = (
    *(f"age_{i + 1}" for i in range(DELTAS)),
    *(f"count_{int(half_life)}" for half_life in HALF_LIVES),
    "seconds_since_last", "requests_so_far", "versions_so_far", "requests_of_version",
    "seconds_of_version", "size", "cost", "hour_of_day",
)  # fmt: skip
_MAX_ROWS = 200_000
_CLASSES = 32
_STEPS_AN_OCTAVE = 2  # of the ages: a table's buckets grow by a factor of the square root of 2
_SAMPLE = 32  # candidates of an eviction
_PARAMETERS = {
    "objective": "reg:squarederror",
    "max_depth": 6,
    "learning_rate": 0.1,
    "tree_method": "hist",
    "nthread": 2,
    "seed": 1,
}
_ROUNDS = 100
_LEAF_SHARE = 0.002  # of the rows: distances are noisy, and smaller leaves fit the noise


@dataclass(frozen=True)
class Fitted:
    """What was learned from the first part of a trace.

    Attributes:
        classes: Of each request of the whole trace, (n,), 0 for the soonest.
        worth: Chance of a request by requests waited, (classes, ages), as `ages` has them.
    """

    classes: Ints
    worth: Floats


def fit(trace: CacheTrace, judged_from: int) -> Fitted:
    """Learn from the requests before `judged_from`; what comes after is only predicted."""
    n = max(1, judged_from)
    rows = features(trace)
    first = next_requests(trace.entry[:n])
    distance = np.where(first < n, first - np.arange(n), np.inf)
    # Of the last requests it is not known yet: they are left out, where there is enough else.
    known = np.arange(n - n // 4) if n >= 8 else np.arange(n)
    if len(known) > _MAX_ROWS:
        known = np.sort(np.random.default_rng(1).choice(known, _MAX_ROWS, replace=False))
    data = xgboost.DMatrix(rows[known], np.log2(np.minimum(distance[known], 2 * n)))
    parameters = _PARAMETERS | {"min_child_weight": len(known) * _LEAF_SHARE}
    booster = xgboost.train(parameters, data, _ROUNDS)
    predicted = booster.predict(xgboost.DMatrix(rows))
    cuts = np.unique(np.quantile(predicted[known], np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    classes = np.searchsorted(cuts, predicted)
    of_class = [distance[known[classes[known] == c]] for c in range(len(cuts) + 1)]
    worth = [_worth(distances, len(trace)) for distances in of_class]
    return Fitted(classes, np.array(worth))


def replay(trace: CacheTrace, capacity: int, fitted: Fitted, value: Floats) -> Flags:
    """Which requests a cache answers that keeps what is worth most for its bytes, (n,)."""
    hits = bytearray(len(trace))
    density = value_density(value, trace.size)
    classes, sizes = fitted.classes.tolist(), trace.size.tolist()
    worth = fitted.worth.tolist()
    latest: dict[int, int] = {}  # entries in the cache, each with its latest request
    slots: list[int] = []  # the same entries, to draw from
    slot_of: dict[int, int] = {}
    used = 0
    draw = random.Random(1).random  # noqa: S311 - a simulation
    for i, entry in enumerate(trace.entry.tolist()):
        if entry in latest:
            hits[i] = True
            latest[entry] = i
            continue
        if sizes[i] > capacity:
            continue
        latest[entry] = i
        slot_of[entry] = len(slots)
        slots.append(entry)
        used += sizes[i]
        while used > capacity:
            count = len(slots)
            chosen = (
                slots if count <= _SAMPLE else [slots[int(draw() * count)] for _ in range(_SAMPLE)]
            )
            victim, lowest = entry if entry in latest else chosen[0], float("inf")
            for candidate in (victim, *chosen):
                last = latest[candidate]
                age = ((i - last) ** _STEPS_AN_OCTAVE).bit_length()
                rank = worth[classes[last]][age] * density[last]
                if rank < lowest:
                    victim, lowest = candidate, rank
            used -= sizes[latest.pop(victim)]
            slot = slot_of.pop(victim)
            moved = slots.pop()
            if moved != victim:
                slots[slot] = moved
                slot_of[moved] = slot
    return np.frombuffer(hits, np.uint8).astype(bool)


def _worth(distance: Floats, longest: int) -> Floats:
    """By age, the most requests that an entry could answer for each request that it waits.

    The index of Gittins (1979) for one class: over all times to go on waiting, the largest ratio of
    the chance of a request to the mean wait.

    Args:
        distance: Requests until the next one of the same entry; infinite where there is none.
        longest: No age is larger.
    """
    octaves = np.arange((longest**_STEPS_AN_OCTAVE).bit_length())
    waits = 2.0 ** (octaves / _STEPS_AN_OCTAVE)  # also the ages, after 0: as `replay` finds them
    worth = np.zeros(1 + len(waits))
    distance = np.sort(distance)
    for k, age in enumerate((0.0, *waits)):
        left = distance[np.searchsorted(distance, age, side="right") :] - age
        total = np.concatenate(([0.0], np.cumsum(left)))
        within = np.searchsorted(left, waits, side="right")
        mean_wait = total[within] + (len(left) - within) * waits
        worth[k] = (within / np.maximum(mean_wait, 1e-9)).max()
    return worth


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
