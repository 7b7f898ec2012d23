"""What a schedule of tiers costs, and the cheapest that there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treehouse.platform.replay.tier_demand import Demand
from treehouse.platform.replay.traces import Floats
from treehouse.platform.tiering.prices import Prices

Schedule = NDArray[np.int8]  # the tier of each partition in each step, (partitions, steps)
_CHUNK = 64  # partitions of the optimum at a time: memory is chunk x tiers x steps


def moves_usd(demand: Demand, schedule: Schedule, prices: Prices) -> Floats:
    """Of moves into each step, with what is billed for leaving a tier early, (partitions, steps).

    All begin in the first tier: in step 0, and a new partition in its own first step.
    """
    partitions, steps = schedule.shape
    step_usd = prices.stay_usd(demand.stored, demand.hours)
    needed = np.ceil(prices.minimum_hours() / demand.hours)
    usd = np.zeros((partitions, steps))
    tier = np.zeros(partitions, np.int64)
    since = np.zeros(partitions, np.int64)
    for t in range(1, steps):
        chosen = schedule[:, t].astype(np.int64)
        moved = np.flatnonzero((chosen != tier) & demand.exists[:, t])
        if len(moved):
            held = demand.stored[moved, t - 1]
            source = tier[moved]
            early = np.maximum(0, needed[source] - (t - since[moved]))
            usd[moved, t] = (
                prices.move_usd(held)[np.arange(len(moved)), source, chosen[moved]]
                + early * step_usd[moved, t, source]
            )
            tier[moved], since[moved] = chosen[moved], t
    return usd


def cheapest(demand: Demand, prices: Prices) -> Schedule:
    """The schedule of the least money and waiting, by dynamic programming; it knows the future.

    Exact, for partitions do not touch each other: the state is the tier and the step of arrival,
    which what leaving early costs depends on.
    """
    partitions, _ = demand.shape
    parts = [
        _cheapest(demand, prices, slice(begin, begin + _CHUNK))
        for begin in range(0, partitions, _CHUNK)
    ]
    return np.concatenate(parts)


def _cheapest(demand: Demand, prices: Prices, rows: slice) -> Schedule:
    part = demand.partitions(rows)
    partitions, steps = part.shape
    tiers = len(prices.tiers)
    run = part.run_usd(prices) * part.exists[..., None]
    step_usd = prices.stay_usd(part.stored, part.hours)
    needed = np.ceil(prices.minimum_hours() / part.hours)
    cost = np.full((partitions, tiers, steps), np.inf)  # by tier and step of arrival
    cost[:, 0, 0] = run[:, 0, 0]
    came_from = np.zeros((steps, partitions, tiers), np.int64)  # tier x step of arrival
    for t in range(1, steps):
        early = np.maximum(0, needed[:, None] - (t - np.arange(t)))  # (tiers, arrivals)
        leaving = (cost[:, :, :t] + early * step_usd[:, t, :, None]).reshape(partitions, -1)
        # Cheapest arrival to leave from, for each pair of tiers.
        by_source = leaving.reshape(partitions, tiers, t)
        arrival = by_source.argmin(axis=2)
        least = np.take_along_axis(by_source, arrival[..., None], axis=2)[..., 0]
        moved = least[:, :, None] + prices.move_usd(part.stored[:, t - 1])
        moved[:, range(tiers), range(tiers)] = np.inf
        moved[~part.exists[:, t - 1]] = np.inf  # not before it is there
        source = moved.argmin(axis=1)
        cost[:, :, t] = np.take_along_axis(moved, source[:, None, :], axis=1)[:, 0]
        came_from[t] = source * steps + np.take_along_axis(arrival, source, axis=1)
        cost[:, :, : t + 1] += run[:, t, :, None]
    return _walk_back(cost, came_from)


def _walk_back(cost: Floats, came_from: NDArray[np.int64]) -> Schedule:
    steps, partitions, _ = came_from.shape
    schedule = np.zeros((partitions, steps), np.int8)
    best = cost.reshape(partitions, -1).argmin(axis=1)
    for p in range(partitions):
        end, state = steps, int(best[p])
        while True:
            tier, arrival = divmod(state, steps)
            schedule[p, arrival:end] = tier
            if arrival == 0:
                break
            end, state = arrival, int(came_from[arrival, p, tier])
    return schedule
