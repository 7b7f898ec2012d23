"""Rules that move partitions between tiers by the steps that went by; none sees a later step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Protocol

import numpy as np

from treehouse.platform.replay.tier_demand import Demand
from treehouse.platform.replay.tier_features import idle, newer_partitions, steps_since_first
from treehouse.platform.replay.tier_schedule import Schedule
from treehouse.platform.replay.traces import Floats


class Rule(Protocol):
    """Goes to the second tier after the first limit, to the third after the second, and so on."""

    def __call__(self, demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule: ...


def thresholds(steps: int, tiers: int) -> Iterator[tuple[int, ...]]:
    """Steps after which to go to the second tier, the third and so on; `steps` is never."""
    grid = sorted({0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 180, steps} & {*range(steps + 1)})
    return combinations_with_replacement(grid, tiers - 1)


def by_age(demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule:
    """Colder with the steps since a partition appeared."""
    return _by(steps_since_first(demand)[:, begin:], limits)


def by_place(demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule:
    """Colder with the partitions that are newer: what a TTL by the date in its key does."""
    return _by(newer_partitions(demand)[:, begin:], limits)


def by_idleness(demand: Demand, begin: int, limits: tuple[int, ...]) -> Schedule:
    """Colder with the steps since the last access, and hot again after one: LRU for tiers."""
    return _by(idle(demand.reads + demand.writes, demand)[:, begin:], limits)


def _by(steps: Floats, limits: tuple[int, ...]) -> Schedule:
    tier = np.zeros(steps.shape, np.int8)
    for limit in limits:
        tier += steps > limit
    tier[:, 0] = 0  # where all begin
    return tier
