"""Rules that move partitions between tiers, and one that is learned; none sees a later step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from training.replay.demand import Demand
from training.replay.moves import Schedule
from training.replay.prices import Prices
from training.replay.traces import Floats, Ints

FEATURES = (
    "age", "idle", "reads_1", "reads_7", "reads_28", "reads_ever", "read_share_7", "writes_7",
    "reads_same_time", "stored", "time_of_cycle",
)  # fmt: skip
_CYCLE = {24.0: 7, 1.0: 24}  # steps after which demand repeats: a week of days, a day of hours
_MAX_ROWS = 150_000
HORIZONS = (1, 3, 7, 14, 30)  # steps that the learned rule may look ahead


def thresholds(steps: int, tiers: int) -> Iterator[tuple[int, ...]]:
    """Steps after which to go to the second tier, the third and so on; `steps` is never."""
    grid = sorted({0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 180, steps} & {*range(steps + 1)})
    return combinations_with_replacement(grid, tiers - 1)


def by_age(demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule:
    """Colder with the steps since a partition appeared: what a TTL in ClickHouse does."""
    return _by(_steps_since_first(demand)[:, begin:], limits)


def by_idleness(demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule:
    """Colder with the steps since the last access, and hot again after one: LRU for tiers."""
    return _by(_idle(demand.reads + demand.writes, demand)[:, begin:], limits)


def learned(demand: Demand, begin: int, prices: Prices, horizon: int) -> Schedule:
    """The tier of the least expected cost, by a random forest fitted on the steps before `begin`.

    It predicts the reads of the next `horizon` steps and their bytes; the decision weighs them by
    the price list, and adds what a move there and back costs and what leaving early costs, so that
    nothing flaps.
    """
    expected = _expected(demand, begin, horizon)
    partitions, steps = demand.shape
    schedule = np.zeros((partitions, steps - begin), np.int8)
    tier, since = np.zeros(partitions, np.int64), np.full(partitions, begin)
    needed = np.ceil(prices.minimum_hours() / demand.hours)
    for t in range(begin + 1, steps):
        there = np.flatnonzero(demand.exists[:, t - 1])
        own, now = np.arange(len(there)), tier[there]
        reads, read = expected[there, t - begin].T
        stored = demand.stored[there, t - 1]
        stay = prices.stay_usd(stored, demand.hours)
        cost = stay * horizon + prices.read_usd(reads, read)
        cost += prices.waiting_hours(reads, read) * prices.waiting_usd_per_hour
        early = np.maximum(0, needed[now] - (t - since[there])) * stay[own, now]
        moves = prices.move_usd(stored)
        move = moves[own, now] + moves[:, :, 0] + early[:, None]
        move[own, now] = 0
        chosen = (cost + move).argmin(axis=1)
        since[there[chosen != now]] = t
        tier[there] = chosen
        schedule[:, t - begin] = tier
    return schedule


def _expected(demand: Demand, begin: int, horizon: int) -> Floats:
    """Reads and bytes read in the next `horizon` steps, from `begin` on: (partitions, steps, 2)."""
    rows = features(demand)
    known = known_rows(demand, begin, horizon)
    future = ahead(np.stack([demand.reads, demand.read], axis=-1), horizon)[known]
    scale = np.maximum(future.std(axis=0), 1e-9)  # so that a split minds both
    forest = RandomForestRegressor(
        n_estimators=60, min_samples_leaf=5, max_features=0.5, n_jobs=2, random_state=1
    )
    forest.fit(rows[known], future / scale)
    later = rows[:, begin:].reshape(-1, len(FEATURES))
    predicted: Floats = forest.predict(later) * scale
    return predicted.reshape(demand.shape[0], -1, 2)


def features(demand: Demand) -> Floats:
    """What is known of each partition when each step begins, (partitions, steps, len(FEATURES))."""
    partitions, steps = demand.shape
    before: Callable[[Floats], Floats] = lambda values: np.pad(values, ((0, 0), (1, 0)))[:, :-1]  # noqa: E731
    cycle = _CYCLE.get(demand.hours, 7)
    same_time = np.pad(demand.reads, ((0, 0), (cycle, 0)))[:, :steps]
    stored = before(demand.stored)
    share = before(_within(demand.read, 7)) / np.maximum(stored, 1)
    columns = (
        _steps_since_first(demand),
        _idle(demand.reads, demand),
        before(demand.reads),
        before(_within(demand.reads, 7)),
        before(_within(demand.reads, 28)),
        before(np.cumsum(demand.reads, axis=1)),
        share,
        before(_within(demand.writes, 7)),
        same_time,
        np.log1p(stored),
        np.broadcast_to(np.arange(steps) % cycle, (partitions, steps)),
    )
    return np.stack([column.astype(float) for column in columns], axis=-1)


def known_rows(demand: Demand, begin: int, horizon: int) -> tuple[Ints, Ints]:
    """Rows to fit on: partitions that are there, in steps whose horizon ends before `begin`."""
    rows = np.argwhere(demand.exists[:, : max(1, begin - horizon)])
    if len(rows) > _MAX_ROWS:
        rows = rows[np.random.default_rng(1).choice(len(rows), _MAX_ROWS, replace=False)]
    return rows[:, 0], rows[:, 1]


def _by(steps: Floats, limits: tuple[int, ...]) -> Schedule:
    tier = np.zeros(steps.shape, np.int8)
    for limit in limits:
        tier += steps > limit
    tier[:, 0] = 0  # where all begin
    return tier


def _steps_since_first(demand: Demand) -> Floats:
    """Steps from the first one until each step begins; 0 in the first."""
    seen: Floats = np.cumsum(demand.exists, axis=1).astype(float)
    return np.maximum(0.0, seen - 1)


def _idle(accesses: Floats, demand: Demand) -> Floats:
    """Steps without an access until each step begins, from the first one on."""
    steps = np.arange(accesses.shape[1])
    first = np.where(demand.exists.any(axis=1), demand.exists.argmax(axis=1), 0)
    last = np.maximum.accumulate(np.where(accesses > 0, steps, -1), axis=1)
    last = np.maximum(np.pad(last, ((0, 0), (1, 0)), constant_values=-1)[:, :-1], first[:, None])
    idle: Floats = np.maximum(0.0, steps - last - 1)
    return idle


def _within(values: Floats, steps: int) -> Floats:
    """Sums over the last steps, each step's own with them."""
    total = np.cumsum(values, axis=1)
    return total - np.pad(total, ((0, 0), (steps, 0)))[:, : values.shape[1]]


def ahead(values: Floats, steps: int) -> Floats:
    """Sums over the next steps, each step's own with them; values are (partitions, steps, k)."""
    total = np.pad(np.cumsum(values, axis=1), ((0, 0), (1, steps), (0, 0)), mode="edge")
    total[:, 0] = 0
    return total[:, steps : steps + values.shape[1]] - total[:, : values.shape[1]]
