"""What is known of each partition when a step begins; what a forest learns from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.platform.replay.tier_demand import Demand
from treehouse.platform.replay.traces import Floats

FEATURES = (
    "age", "newer", "idle", "reads_1", "reads_7", "reads_28", "scans_7", "scans_28",
    "read_steps_28", "writes_7", "reads_same_time", "stored", "time_of_cycle",
)  # fmt: skip
_CYCLE = {24.0: 7, 1.0: 24}  # steps after which demand repeats: a week of days, a day of hours


def cycle(demand: Demand) -> int:
    """Steps after which demand may repeat itself."""
    return _CYCLE.get(demand.hours, 7)


def features(demand: Demand) -> Floats:
    """What is known of each partition when each step begins, (partitions, steps, len(FEATURES)).

    A scan is a read of as many bytes as the partition holds.
    """
    partitions, steps = demand.shape
    scans = demand.read / np.maximum(demand.stored, 1)
    is_read = (demand.reads > 0).astype(float)
    period = cycle(demand)
    columns = (
        steps_since_first(demand),
        newer_partitions(demand),
        idle(demand.reads, demand),
        _before(demand.reads),
        *(_before(_within(demand.reads, window)) for window in (7, 28)),
        *(_before(_within(scans, window)) for window in (7, 28)),
        _before(_within(is_read, 28)),
        _before(_within(demand.writes, 7)),
        np.pad(demand.reads, ((0, 0), (period, 0)))[:, :steps],
        np.log1p(_before(demand.stored)),
        np.broadcast_to(np.arange(steps) % period, (partitions, steps)),
    )
    return np.stack([column.astype(float) for column in columns], axis=-1)


def newer_partitions(demand: Demand) -> Floats:
    """Partitions of the table that come after each one when each step begins."""
    newer = np.zeros(demand.shape, np.int64)
    for table in np.unique(demand.table):
        rows = np.flatnonzero(demand.table == table)
        there = demand.exists[rows].astype(np.int64)
        newer[rows] = there[::-1].cumsum(axis=0)[::-1] - there
    return _before(newer)


def steps_since_first(demand: Demand) -> Floats:
    """Steps from the first one until each step begins; 0 in the first."""
    seen: Floats = np.cumsum(demand.exists, axis=1).astype(float)
    return np.maximum(0.0, seen - 1)


def idle(accesses: Floats, demand: Demand) -> Floats:
    """Steps without an access until each step begins, from the first one on."""
    steps = np.arange(accesses.shape[1])
    first = np.where(demand.exists.any(axis=1), demand.exists.argmax(axis=1), 0)
    last = np.maximum.accumulate(np.where(accesses > 0, steps, -1), axis=1)
    last = np.maximum(np.pad(last, ((0, 0), (1, 0)), constant_values=-1)[:, :-1], first[:, None])
    result: Floats = np.maximum(0.0, steps - last - 1)
    return result


def ahead(values: Floats, steps: int) -> Floats:
    """Sums over the next steps, each step's own with them; values are (partitions, steps, k)."""
    total = np.pad(np.cumsum(values, axis=1), ((0, 0), (1, steps), (0, 0)), mode="edge")
    total[:, 0] = 0
    return total[:, steps : steps + values.shape[1]] - total[:, : values.shape[1]]


def _before(values: NDArray[Any]) -> Floats:
    """What each value was when the step began."""
    shifted: Floats = np.pad(values, ((0, 0), (1, 0)))[:, :-1]
    return shifted


def _within(values: Floats, steps: int) -> Floats:
    """Sums over the last steps, each step's own with them."""
    total = np.cumsum(values, axis=1)
    return total - np.pad(total, ((0, 0), (steps, 0)))[:, : values.shape[1]]
