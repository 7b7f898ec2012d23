"""`treehouse replay tiering`: every policy over one trace, judged on its later part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.errors import TreehouseError
from training.replay import rules
from training.replay.classes import HORIZONS, by_classes
from training.replay.demand import Demand, on_grid
from training.replay.moves import Schedule, cheapest, moves_usd
from training.replay.prices import Prices
from training.replay.traces import TieringTrace


@dataclass(frozen=True)
class Options:
    """How a trace is replayed.

    Attributes:
        train: Share of the steps, the first ones, that fits and thresholds may use.
        step_hours: Length of a step; None: a day, or an hour for traces below 20 days.
        scale: All sizes are multiplied by it: a small simulated workload stands for a large one.
    """

    train: float = 0.5
    step_hours: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.train < 1:
            raise TreehouseError(
                "The train is no share.", value=self.train, expected="between 0 and 1"
            )
        if not self.scale > 0:
            raise TreehouseError("A scale of nothing.", value=self.scale, expected="above 0")


def replay(
    trace: TieringTrace,
    options: Options,
    prices: Prices,
    progress: Callable[[str, int | None, int | None], None] = lambda *_: None,
) -> dict[str, Any]:
    """Replay a trace under every policy, from all hot at the begin of the judged steps.

    Returns:
        What was replayed, and `policies`: for each, USD billed by what for, hours that reads waited
        longer than in the first tier, the share of reads in each tier, and what it saves.
    """
    demand = on_grid(trace, options.step_hours, options.scale)
    begin = min(max(1, int(demand.shape[1] * options.train)), demand.shape[1] - 1)
    judged = demand.steps(begin)
    rows: list[dict[str, Any]] = []

    def judge(name: str, kind: str, schedule: Schedule) -> None:
        rows.append({"policy": name, "kind": kind} | bill(judged, schedule, prices))

    judge("all hot", "rule", np.zeros(judged.shape, np.int8))
    progress("age", None, None)
    limits = list(rules.thresholds(demand.shape[1], len(prices.tiers)))
    # The best age in hindsight: a stronger rival than any age that one could have chosen.
    total = _totals(judged, prices)
    best = min(limits, key=lambda pair: total(rules.by_age(demand, begin, pair)))
    judge(f"age over {_said(best, demand)} (best in hindsight)", "rule",
          rules.by_age(demand, begin, best))  # fmt: skip
    progress("last access", None, None)
    early, half = demand.steps(0, begin), begin // 2
    total = _totals(early.steps(half), prices)
    best = min(limits, key=lambda pair: total(rules.by_idleness(early, half, pair)))
    judge(f"idle over {_said(best, demand)}", "rule", rules.by_idleness(demand, begin, best))
    progress("classes", None, None)
    horizon = min(
        (steps for steps in HORIZONS if steps <= half),
        key=lambda steps: total(by_classes(early, half, prices, steps)),
        default=1,
    )
    judge("classes (as tier_decision)", "learned", by_classes(demand, begin, prices, horizon))
    progress("optimum", None, None)
    judge("optimum", "clairvoyant", cheapest(judged, prices))
    for row in rows:
        row["saved"] = 1 - row["money_usd"] / rows[0]["money_usd"] if rows[0]["money_usd"] else 0.0
    return {
        "requests": len(trace),
        "partitions": demand.shape[0],
        "steps": demand.shape[1],
        "judged_steps": judged.shape[1],
        "step_hours": demand.hours,
        "stored_gb": float(demand.stored[:, -1].sum() / 1e9),
        "policies": rows,
        "winner": min(
            (row for row in rows if row["kind"] != "clairvoyant"), key=lambda row: row["total_usd"]
        )["policy"],
    }


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


def _totals(demand: Demand, prices: Prices) -> Callable[[Schedule], float]:
    """What `bill` calls total_usd, for many schedules of one demand."""
    run = demand.run_usd(prices) * demand.exists[..., None]

    def total(schedule: Schedule) -> float:
        picked = np.take_along_axis(run, schedule.astype(np.int64)[..., None], axis=2)
        return float(picked.sum() + moves_usd(demand, schedule, prices).sum())

    return total


def _said(limits: tuple[int, ...], demand: Demand) -> str:
    unit = "d" if demand.hours == 24 else "h"
    scale = demand.hours / 24 if unit == "d" else demand.hours
    return " and ".join(
        "never" if limit >= demand.shape[1] else f"{limit * scale:g} {unit}" for limit in limits
    )
