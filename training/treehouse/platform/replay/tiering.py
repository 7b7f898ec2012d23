"""`treehouse replay tiering`: every policy over one trace, judged on its later part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from treehouse.platform.replay import tier_rules as rules
from treehouse.platform.replay.tier_demand import Demand, on_grid
from treehouse.platform.replay.tier_forest import HORIZONS, by_classes
from treehouse.platform.replay.tier_schedule import Schedule, cheapest, moves_usd
from treehouse.platform.replay.traces import Floats, Ints, TieringTrace
from treehouse.platform.tiering.prices import Prices
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError

# Decides as tier_decision() does, but is another forest than the promoted one: it is fitted on the
# trace, and knows of a partition what a trace tells.
REFITTED = "tier_decision (refitted)"


@dataclass(frozen=True)
class Options:
    """How a trace is replayed.

    Attributes:
        train: Share of the steps, the first ones, that fits and thresholds may use.
        step_hours: Length of a step; None: a day, or an hour for traces below 20 days.
        scale: All sizes are multiplied by it: a small simulated workload stands for a large one.
        cold_reads: Share of reads that may hit the last tier.
    """

    train: float = 0.5
    step_hours: float | None = None
    scale: float = 1.0
    cold_reads: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.train < 1:
            raise TreehouseError(
                "The train is no share.", value=self.train, expected="between 0 and 1"
            )
        if not self.scale > 0:
            raise TreehouseError("A scale of nothing.", value=self.scale, expected="above 0")
        if not 0 <= self.cold_reads <= 1:
            raise TreehouseError(
                "The cold reads are no share.", value=self.cold_reads, expected="from 0 to 1"
            )


def replay(
    trace: TieringTrace,
    options: Options,
    prices: Prices,
    progress: Report = lambda *_: None,
) -> dict[str, Any]:
    """Replay a trace under every policy, from all hot at the begin of the judged steps.

    Returns:
        What was replayed, and `policies`: for each, USD billed by what for, hours that reads waited
        longer than in the first tier, the share of reads in each tier, what it saves of total_usd,
        and whether as few reads as allowed hit the last tier. The winner is the cheapest of these
        that does not know the future, with what waiting is worth. `plays` names the rule that the
        learned policy fell back to, else "".
    """
    demand = on_grid(trace, options.step_hours, options.scale)
    begin = min(max(1, int(demand.shape[1] * options.train)), demand.shape[1] - 1)
    judged = demand.steps(begin)
    rows: list[dict[str, Any]] = []
    for name, kind, schedule, plays in _schedules(demand, begin, prices, progress):
        row: dict[str, Any] = {"policy": name, "kind": kind, "plays": plays}
        rows.append(row | bill(judged, schedule, prices))
    hot = rows[0]["total_usd"]
    for row in rows:
        row["is_allowed"] = row["reads"][prices.tiers[-1].name] <= options.cold_reads
        row["saved"] = 1 - row["total_usd"] / hot if hot else 0.0
    return {
        "requests": len(trace),
        "partitions": demand.shape[0],
        "steps": demand.shape[1],
        "judged_steps": judged.shape[1],
        "step_hours": demand.hours,
        "stored_gb": float(demand.stored[:, -1].sum() / 1e9),
        "policies": rows,
        "winner": min(
            (row for row in rows if row["kind"] in ("rule", "learned") and row["is_allowed"]),
            key=lambda row: row["total_usd"],
        )["policy"],
    }


def _schedules(
    demand: Demand, begin: int, prices: Prices, progress: Report
) -> Iterator[tuple[str, str, Schedule, str]]:
    """Name, kind and schedule of each policy, and the rule that it fell back to; what has to be
    chosen is chosen before `begin`. The rules may leave all hot."""
    judged, early, half = demand.steps(begin), demand.steps(0, begin), begin // 2
    yield "all hot", "rule", np.zeros(judged.shape, np.int8), ""
    ages = (rules.by_age, rules.by_place)
    # Stronger than any age that one could have chosen.
    hindsight = _best(demand, begin, ages, (demand, begin), prices, demand.table)
    yield "age, in hindsight for each table", "hindsight", hindsight, ""
    # Each with the schedule that it has in the half of the early steps on which it was chosen.
    simple = {}
    for name, candidates in {"age": ages, "last access": (rules.by_idleness,)}.items():
        progress(name, None, None)
        schedule = _best(demand, begin, candidates, (early, half), prices)
        simple[name] = (schedule, _best(early, half, candidates, (early, half), prices))
        yield name, "rule", schedule, ""
    progress(REFITTED, None, None)
    total = _totals(early.steps(half), prices)
    usd = {
        steps: total(by_classes(early, half, prices, steps)).sum()
        for steps in HORIZONS
        if steps <= half
    }
    horizon = min(usd, key=lambda steps: usd[steps], default=1)
    rule = min(simple, key=lambda name: total(simple[name][1]).sum())
    # As cheap is not enough: where both leave all hot, nothing tells what the forest does later.
    if usd and usd[horizon] < total(simple[rule][1]).sum():
        yield REFITTED, "learned", by_classes(demand, begin, prices, horizon), ""
    else:
        yield REFITTED, "learned", simple[rule][0], rule
    progress("optimum", None, None)
    yield "optimum", "clairvoyant", cheapest(judged, prices), ""


def sensitivity(
    trace: TieringTrace, options: Options, prices: Prices, progress: Report = lambda *_: None
) -> list[dict[str, Any]]:
    """The same for other worths of waiting: none, the configured one, and ten times that.

    Returns:
        For each: waiting_usd_per_hour, winner, and what each policy saves.
    """
    found = []
    for factor in (0, 1, 10):
        worth = prices.waiting_usd_per_hour * factor
        result = replay(trace, options, replace(prices, waiting_usd_per_hour=worth), progress)
        saved = {row["policy"]: row["saved"] for row in result["policies"]}
        found.append({"waiting_usd_per_hour": worth, "winner": result["winner"]} | saved)
    return found


def bill(demand: Demand, schedule: Schedule, prices: Prices) -> dict[str, Any]:
    """What a schedule costs, and where it puts the reads.

    Returns:
        money_usd (with moves_usd), waiting_hours, total_usd (waiting at its price), moves, and
        reads: the share of reads in each tier.
    """
    picked = schedule.astype(np.int64)[..., None]
    there = demand.exists

    def of(values: Any) -> Any:
        return np.take_along_axis(values, picked, axis=2)[..., 0] * there

    moved_usd = moves_usd(demand, schedule, prices)
    money = float(of(demand.money_usd(prices)).sum() + moved_usd.sum())
    waiting = float(of(prices.waiting_hours(demand.reads, demand.read)).sum())
    reads = np.bincount(
        schedule.ravel(), (demand.reads * there).ravel(), minlength=len(prices.tiers)
    )
    steps = np.concatenate([np.zeros((len(schedule), 1), np.int8), schedule], axis=1)
    return {
        "money_usd": money,
        "moves_usd": float(moved_usd.sum()),
        "waiting_hours": waiting,
        "total_usd": money + waiting * prices.waiting_usd_per_hour,
        "moves": int(((np.diff(steps, axis=1) != 0) & there).sum()),
        "reads": {
            tier.name: float(count / max(1.0, reads.sum()))
            for tier, count in zip(prices.tiers, reads, strict=True)
        },
    }


def _best(
    demand: Demand,
    begin: int,
    candidates: Sequence[rules.Rule],
    seen: tuple[Demand, int],
    prices: Prices,
    groups: Ints | None = None,
) -> Schedule:
    """Of rules with limits the cheapest in what is `seen`, from its step on, of each group; of
    equal ones the latest, for nothing tells that it pays to move what is older than was seen."""
    on, since = seen
    groups = np.zeros(demand.shape[0], np.int64) if groups is None else groups
    total = _totals(on.steps(since), prices)
    choices = [
        partial(rule, limits=limits)
        for rule in candidates
        for limits in reversed(list(rules.thresholds(demand.shape[1], len(prices.tiers))))
    ]
    usd = np.array([np.bincount(groups, total(choice(on, since))) for choice in choices])
    best = usd.argmin(axis=0)[groups]
    schedule = np.zeros((demand.shape[0], demand.shape[1] - begin), np.int8)
    for number in np.unique(best):
        schedule[best == number] = choices[number](demand, begin)[best == number]
    return schedule


def _totals(demand: Demand, prices: Prices) -> Callable[[Schedule], Floats]:
    """What `bill` calls total_usd, by partition, for many schedules of one demand."""
    run = demand.run_usd(prices) * demand.exists[..., None]

    def total(schedule: Schedule) -> Floats:
        picked = np.take_along_axis(run, schedule.astype(np.int64)[..., None], axis=2)
        usd: Floats = picked.sum(axis=(1, 2)) + moves_usd(demand, schedule, prices).sum(axis=1)
        return usd

    return total
