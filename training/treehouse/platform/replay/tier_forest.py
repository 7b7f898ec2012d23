"""A policy like tier_decision(): a forest of cost-sensitive classes, with hysteresis.

It is not the promoted one, which knows other features and was fitted on other partitions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from treehouse.platform.replay.tier_demand import Demand
from treehouse.platform.replay.tier_features import ahead, cycle, features
from treehouse.platform.replay.tier_schedule import Schedule
from treehouse.platform.replay.traces import Floats, Ints
from treehouse.platform.tiering.config import Tiering
from treehouse.platform.tiering.costs import mistakes
from treehouse.platform.tiering.prices import HOURS_A_MONTH, Prices
from treehouse.spec import Bagging

HORIZONS = (1, 3, 7, 14, 30)  # steps that the policy may look ahead
# Chosen on steps before the judged ones. Deeper than in the spec, for a trace has more rows than
# the demo.
_BAGGING = Bagging(trees=100, depth=12, rows_per_leaf=10, column_share=0.4)
_MAX_ROWS = 150_000
_MOST_FITS = 8  # in a replay; as the days go by the model is fitted again, as `retrain` does


def by_classes(demand: Demand, begin: int, prices: Prices, horizon: int) -> Schedule:
    """The tier of the least expected cost, by a forest fitted on what is known by then.

    The class of a training row is the tier that would have cost the least over the next `horizon`
    steps, and the row counts as much as the worst tier would have cost more. A partition stays for
    `horizon` steps after a move, and a move to a cheaper tier has to pay for itself in the
    configured months.
    """
    wanted = _wanted(demand, begin, prices, horizon)
    payback_hours = Tiering.configured().payback_months * HOURS_A_MONTH
    partitions, steps = demand.shape
    schedule = np.zeros((partitions, steps - begin), np.int8)
    tier, since = np.zeros(partitions, np.int64), np.full(partitions, begin - horizon)
    own = np.arange(partitions)
    for t in range(begin + 1, steps):
        stored, chosen = demand.stored[:, t - 1], wanted[:, t - begin]
        stay = prices.stay_usd(stored, payback_hours)
        saved = stay[own, tier] - stay[own, chosen]
        pays = (chosen < tier) | (prices.move_usd(stored)[own, tier, chosen] <= saved)
        stayed = (chosen < tier) | (t - since >= horizon)
        moves = (chosen != tier) & demand.exists[:, t - 1] & stayed & pays
        tier, since = np.where(moves, chosen, tier), np.where(moves, t, since)
        schedule[:, t - begin] = tier
    return schedule


def _wanted(demand: Demand, begin: int, prices: Prices, horizon: int) -> NDArray[np.int64]:
    """The forest's tier for each partition in each step from `begin` on, (partitions, steps)."""
    rows, usd = features(demand), _usd(demand, prices, horizon)
    costs = np.array(mistakes(prices, horizon * demand.hours / 24))
    steps = demand.shape[1]
    every = max(cycle(demand), -(-(steps - begin) // _MOST_FITS))
    chosen = [
        (_shares(rows, usd, _known(demand, now, horizon), slice(now, now + every)) @ costs).argmin(
            axis=-1
        )
        for now in range(begin, steps, every)
    ]
    return np.concatenate(chosen, axis=1)


def _shares(rows: Floats, usd: Floats, known: tuple[Ints, Ints], later: slice) -> Floats:
    """Probabilities of the tiers in `later` steps, (partitions, steps, tiers)."""
    forest = RandomForestClassifier(
        n_estimators=_BAGGING.trees, max_depth=_BAGGING.depth,
        min_samples_leaf=_BAGGING.rows_per_leaf, max_features=_BAGGING.column_share,
        n_jobs=2, random_state=_BAGGING.seed,
    )  # fmt: skip
    cost = usd[known]
    stake = np.maximum(np.ptp(cost, axis=1), 1e-9)
    forest.fit(rows[known], cost.argmin(axis=1), sample_weight=stake)
    asked = rows[:, later]
    shares = np.zeros((*asked.shape[:2], usd.shape[-1]))
    shares[..., forest.classes_] = forest.predict_proba(
        asked.reshape(-1, asked.shape[-1])
    ).reshape(*asked.shape[:2], -1)  # fmt: skip
    return shares


def _known(demand: Demand, now: int, horizon: int) -> tuple[Ints, Ints]:
    """Rows to fit on: partitions that are there, in steps whose horizon ends before `now`."""
    rows = np.argwhere(demand.exists[:, : max(1, now - horizon + 1)])
    if len(rows) > _MAX_ROWS:
        rows = rows[np.random.default_rng(1).choice(len(rows), _MAX_ROWS, replace=False)]
    return rows[:, 0], rows[:, 1]


def _usd(demand: Demand, prices: Prices, horizon: int) -> Floats:
    """What each tier costs over the next steps: (partitions, steps, tiers)."""
    hours = horizon * demand.hours
    asked = np.stack([demand.reads, demand.read, demand.writes, demand.written], axis=-1)
    reads, read, writes, written = np.moveaxis(ahead(asked, horizon), -1, 0)
    moves = prices.move_usd(demand.stored)
    # What nobody reads stays; what is read has to come back.
    there_and_back = moves[..., 0, :] + moves[..., :, 0]
    stay_hours = np.maximum(prices.minimum_hours(), hours)
    return (
        prices.stay_usd(demand.stored, hours)
        + prices.read_usd(reads, read)
        + prices.write_usd(writes, written)
        + prices.waiting_hours(reads, read) * prices.waiting_usd_per_hour
        + there_and_back * np.where(reads[..., None] > 0, 1.0, hours / stay_hours)
    )
