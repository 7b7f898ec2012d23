"""A tiering trace on a grid: what each partition held and was asked for in each step of time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from treehouse.platform.replay.traces import Flags, Floats, Ints, TieringTrace
from treehouse.platform.tiering.prices import Prices
from treehouse.project.errors import TreehouseError

_DAYS_FOR_DAILY_STEPS = 20
_MAX_CELLS = 40_000_000
_ARRAYS = ("exists", "stored", "reads", "read", "writes", "written")


@dataclass(frozen=True)
class Demand:
    """Partitions by steps; every array but `table` is (partitions, steps).

    Attributes:
        hours: Length of a step.
        table: Code of each partition's table, (partitions,); of a table, newer ones come later.
        exists: Whether the partition was there.
        stored: Bytes that it held at the step's end.
        reads: How often it was read.
        read: Bytes read.
        writes: How often it was written.
        written: Bytes written.
    """

    hours: float
    table: Ints
    exists: Flags
    stored: Floats
    reads: Floats
    read: Floats
    writes: Floats
    written: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Partitions and steps."""
        partitions, steps = self.exists.shape
        return partitions, steps

    def steps(self, begin: int, end: int | None = None) -> Demand:
        """Only some of the steps."""
        return replace(self, **{name: getattr(self, name)[:, begin:end] for name in _ARRAYS})

    def partitions(self, rows: slice) -> Demand:
        """Only some of the partitions."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ("table", *_ARRAYS)})

    def run_usd(self, prices: Prices) -> Floats:
        """Money and waiting, in USD, of each step in each tier: (partitions, steps, tiers)."""
        waiting = prices.waiting_hours(self.reads, self.read) * prices.waiting_usd_per_hour
        return self.money_usd(prices) + waiting

    def money_usd(self, prices: Prices) -> Floats:
        """What is billed for each step in each tier, without moves: (partitions, steps, tiers)."""
        stay = prices.stay_usd(self.stored, self.hours)
        reads = prices.read_usd(self.reads, self.read)
        return stay + reads + prices.write_usd(self.writes, self.written)


def on_grid(trace: TieringTrace, step_hours: float | None = None, scale: float = 1.0) -> Demand:
    """Sum a trace up by partition and step.

    Args:
        trace: Reads and writes.
        step_hours: Length of a step; by default a day, or an hour for traces below 20 days.
        scale: Factor of all sizes.

    Raises:
        TreehouseError: The step leaves less than 4 of them, or is too short for the memory.
    """
    span_hours = (trace.time[-1] - trace.time[0]) / 3600
    if step_hours is None:
        step_hours = 24.0 if span_hours >= 24 * _DAYS_FOR_DAILY_STEPS else 1.0
    if not step_hours > 0:
        raise TreehouseError("A step of no time.", value=step_hours, expected="hours above 0")
    partitions, steps = int(trace.partition.max()) + 1, int(span_hours // step_hours) + 1
    if steps < 4 or partitions * steps > _MAX_CELLS:
        raise TreehouseError(
            "The step does not fit the trace.",
            value=f"{steps} steps of {step_hours:g} h, {partitions} partitions",
            expected=f"at least 4 steps, and partitions times steps up to {_MAX_CELLS:,}",
            fix="choose another --step-hours",
        )
    step = ((trace.time - trace.time[0]) / 3600 // step_hours).astype(np.int64)
    cell = trace.partition * steps + step

    def total(weights: Floats) -> Floats:
        summed = np.bincount(cell, weights, partitions * steps).reshape(partitions, steps)
        return summed.astype(float)

    is_write, size = trace.is_write.astype(float), trace.size * scale
    stored = np.zeros(partitions * steps)
    np.maximum.at(stored, cell, trace.stored * scale)
    exists = np.maximum.accumulate(total(np.ones(len(trace))) > 0, axis=1)
    return Demand(
        hours=step_hours,
        table=trace.table,
        exists=exists,
        stored=np.maximum.accumulate(stored.reshape(partitions, steps), axis=1),
        reads=total(1 - is_write),
        read=total((1 - is_write) * size),
        writes=total(is_write),
        written=total(is_write * size),
    )
