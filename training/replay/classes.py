"""The policy of tier_decision(), replayed: a forest of cost-sensitive classes, with hysteresis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from training.replay import rules
from training.replay.demand import Demand
from training.replay.moves import Schedule
from training.replay.prices import HOURS_A_MONTH, Prices
from training.replay.traces import Floats
from training.tiering.costs import mistakes

_PAYBACK_MONTHS = 3


def by_classes(demand: Demand, begin: int, prices: Prices, horizon: int) -> Schedule:
    """The tier of the least expected cost, by a random forest fitted on the steps before `begin`.

    The class of a training row is the tier that would have cost the least over the next `horizon`
    steps, and the row counts as much as the worst tier would have cost more. A partition stays for
    `horizon` steps after a move, and a move to a cheaper tier has to pay for itself in 3 months.
    """
    wanted = _wanted(demand, begin, prices, horizon)
    partitions, steps = demand.shape
    schedule = np.zeros((partitions, steps - begin), np.int8)
    tier, since = np.zeros(partitions, np.int64), np.full(partitions, begin - horizon)
    own = np.arange(partitions)
    for t in range(begin + 1, steps):
        stored, chosen = demand.stored[:, t - 1], wanted[:, t - begin]
        month = prices.stay_usd(stored, HOURS_A_MONTH)
        saved = (month[own, tier] - month[own, chosen]) * _PAYBACK_MONTHS
        pays = (chosen < tier) | (prices.move_usd(stored)[own, tier, chosen] <= saved)
        stayed = (chosen < tier) | (t - since >= horizon)
        moves = (chosen != tier) & demand.exists[:, t - 1] & stayed & pays
        tier, since = np.where(moves, chosen, tier), np.where(moves, t, since)
        schedule[:, t - begin] = tier
    return schedule


def _wanted(demand: Demand, begin: int, prices: Prices, horizon: int) -> NDArray[np.int64]:
    """The forest's tier for each partition in each step from `begin` on, (partitions, steps)."""
    rows = rules.features(demand)
    known = rules.known_rows(demand, begin, horizon)
    usd = _usd(demand, prices, horizon)[known]
    forest = RandomForestClassifier(
        n_estimators=100, max_depth=8, min_samples_leaf=30, max_features=0.4, n_jobs=2,
        random_state=1,
    )  # fmt: skip
    stake = np.maximum(np.ptp(usd, axis=1), 1e-9)
    forest.fit(rows[known], usd.argmin(axis=1), sample_weight=stake)
    later = rows[:, begin:].reshape(-1, rows.shape[-1])
    shares = np.zeros((len(later), len(prices.tiers)))
    shares[:, forest.classes_] = forest.predict_proba(later)
    expected = shares @ np.array(mistakes(prices, horizon * demand.hours / 24))
    chosen: NDArray[np.int64] = expected.argmin(axis=1)
    return chosen.reshape(demand.shape[0], -1)


def _usd(demand: Demand, prices: Prices, horizon: int) -> Floats:
    """What each tier costs over the next steps: (partitions, steps, tiers)."""
    hours = horizon * demand.hours
    asked = np.stack([demand.reads, demand.read, demand.writes, demand.written], axis=-1)
    reads, read, writes, written = np.moveaxis(rules.ahead(asked, horizon), -1, 0)
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
