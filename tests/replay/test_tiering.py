"""Tiers: bills by hand, the optimum against exhaustive search, and no one sees ahead."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.some import some
from treehouse.platform.replay import tier_rules as rules
from treehouse.platform.replay import tiering
from treehouse.platform.replay.tier_demand import Demand, on_grid
from treehouse.platform.replay.tier_features import newer_partitions
from treehouse.platform.replay.tier_forest import by_classes
from treehouse.platform.replay.tier_schedule import cheapest
from treehouse.platform.replay.traces import TieringTrace
from treehouse.platform.tiering import prices as price_list
from treehouse.platform.tiering.prices import HOURS_A_MONTH, Prices
from treehouse.project.errors import TreehouseError

PRICES = Prices.configured()
_FIELDS = ("exists", "stored", "reads", "read", "writes", "written")


def demand_of(seed: int, partitions: int, steps: int) -> Demand:
    rng = np.random.default_rng(seed)
    exists = np.maximum.accumulate(rng.random((partitions, steps)) < 0.6, axis=1)
    heat = rng.choice([0.0, 0.5, 20.0], (partitions, 1))
    reads = exists * rng.poisson(heat, (partitions, steps)).astype(float)
    return Demand(
        24.0, np.arange(partitions) % 2, exists,
        exists * rng.lognormal(22, 1, (partitions, 1)), reads,
        reads * rng.lognormal(18, 2, (partitions, steps)), exists * 1.0, exists * 1e8,
    )  # fmt: skip


def test_a_bill_by_hand() -> None:
    """A GB for a month: 10 days hot, then warm with 1,000 reads of 1 MB."""
    steps = 30
    one = np.ones((1, steps))
    reads = np.zeros((1, steps))
    reads[0, 20] = 1000
    demand = Demand(
        24.0, np.zeros(1, int), one > 0, one * 1e9, reads, reads * 1e6, one * 0, one * 0
    )
    schedule = (np.arange(steps) >= 10).astype(np.int8)[None]
    hot, warm = PRICES.tiers[:2]
    days = 24 / HOURS_A_MONTH
    moved = 125 * warm.usd_per_1000_writes / 1000  # requests of 8 MB
    money = 10 * days * hot.usd_per_gb_month + 20 * days * warm.usd_per_gb_month + moved
    money += warm.usd_per_1000_reads
    waits = 1000 * (warm.first_byte_ms - hot.first_byte_ms) / 1e3
    waits += 1e9 / 1e6 * (1 / warm.mb_per_second - 1 / hot.mb_per_second)
    found = tiering.bill(demand, schedule, PRICES)
    assert found["money_usd"] == pytest.approx(money)
    assert found["waiting_hours"] == pytest.approx(waits / 3600)
    assert found["reads"] == {"hot": 0, "warm": 1, "cold": 0}
    assert found["moves"] == 1


def test_who_leaves_the_cold_early_pays_for_the_whole_time() -> None:
    one = np.ones((1, 100))
    demand = Demand(24.0, np.zeros(1, int), one > 0, one * 1e9, *(one * 0 for _ in range(4)))
    stays, leaves = np.zeros((2, 1, 100), np.int8)
    stays[0, 1:] = 2
    leaves[0, 1:11] = 2
    costs = [tiering.bill(demand, s, PRICES)["moves_usd"] for s in (stays, leaves)]
    cold = PRICES.tiers[2]
    early = 80 * 24 / HOURS_A_MONTH * cold.usd_per_gb_month
    out = cold.usd_per_gb_read + 125 * cold.usd_per_1000_reads / 1000
    assert costs[1] - costs[0] == pytest.approx(early + out)


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_the_cheapest_of_all_schedules(seed: int) -> None:
    demand = demand_of(seed, 2, 5)
    short = tuple(replace(t, minimum_days=min(t.minimum_days, 3)) for t in PRICES.tiers)
    prices = replace(PRICES, tiers=short)
    found = tiering.bill(demand, cheapest(demand, prices), prices)["total_usd"]
    least = 0.0
    for partition in range(2):
        alone = demand.partitions(slice(partition, partition + 1))
        first = int(alone.exists[0].argmax()) if alone.exists.any() else 4
        least += min(
            tiering.bill(alone, np.array([tiers], np.int8), prices)["total_usd"]
            for tiers in product(range(3), repeat=5)
            if not any(tiers[: first + 1])  # new data lands in the first tier
        )
    assert found == pytest.approx(least)


def test_no_rule_sees_a_later_step() -> None:
    demand, begin, cut = demand_of(1, 40, 40), 20, 30
    later = {name: getattr(demand, name).copy() for name in _FIELDS}
    for name in ("reads", "read"):
        later[name][:, cut:] = later[name][::-1, cut:] * 7
    changed = replace(demand, **later)
    decisions: dict[str, Any] = {
        "age": lambda d: rules.by_age(d, begin, (2, 9)),
        "place": lambda d: rules.by_place(d, begin, (2, 9)),
        "idle": lambda d: rules.by_idleness(d, begin, (1, 5)),
        "classes": lambda d: by_classes(d, begin, PRICES, 5),
    }
    for name, decide in decisions.items():
        before, after = decide(demand)[:, : cut - begin + 1], decide(changed)[:, : cut - begin + 1]
        np.testing.assert_array_equal(before, after, err_msg=name)


def _trace(partitions: int = 20, days: int = 60) -> TieringTrace:
    """Each partition is written on a day of its own; the even ones stay hot for long."""
    rng = np.random.default_rng(1)
    rows = [(p * 86_400.0, p, True, 5_000_000_000) for p in range(partitions)]
    for p in range(partitions):
        for day in range(p, days):
            for _ in range(rng.poisson(20 if p % 2 == 0 else 20 * 0.3 ** (day - p))):
                rows.append(((day + rng.random()) * 86_400, p, False, 1_000_000))
    rows.sort()
    time, partition, is_write, size = (np.array(column) for column in zip(*rows, strict=True))
    return TieringTrace(time, partition, is_write, size, np.full(len(time), 5_000_000_000),
                        np.zeros(partitions, int))  # fmt: skip


def test_every_policy_is_reported_beside_the_optimum() -> None:
    result = tiering.replay(_trace(), tiering.Options(), PRICES)
    assert [row["policy"] for row in result["policies"]].count("tier_decision (refitted)") == 1
    rows = {row["policy"].split()[0]: row for row in result["policies"]}
    assert list(rows) == ["all", "age,", "age", "last", "tier_decision", "optimum"]
    assert all(
        row["total_usd"] >= rows["optimum"]["total_usd"] - 1e-12 for row in some(rows.values())
    )
    assert rows["all"]["saved"] == 0
    assert rows["tier_decision"]["total_usd"] < rows["all"]["total_usd"]
    assert all(sum(row["reads"].values()) == pytest.approx(1) for row in some(rows.values()))
    assert result["step_hours"] == 24
    assert result["winner"] in [row["policy"] for row in result["policies"]]


def test_what_is_saved_is_of_the_total_that_is_minimised() -> None:
    """Money and waiting, not money alone: who waits for what was moved away saves nothing."""
    result = tiering.replay(_trace(6, 12), tiering.Options(step_hours=24.0), PRICES)
    hot = result["policies"][0]["total_usd"]
    waits = [row for row in result["policies"] if row["waiting_hours"] > 0]
    assert waits
    for row in result["policies"]:
        assert row["saved"] == pytest.approx(1 - row["total_usd"] / hot)


@pytest.mark.parametrize("early", ["worse", "equal", "better"])
def test_a_forest_that_was_not_cheaper_than_a_rule_before_gives_way_to_it(
    monkeypatch: pytest.MonkeyPatch, early: str
) -> None:
    """Of blocks that are read all the time all but hot is dear. Where the forest leaves them hot as
    well, it has shown nothing, and may cost several times as much later; what it does then nobody
    knows when it is chosen."""
    days, begin = 60, 30

    def forest(demand: Demand, since: int, *_: object) -> NDArray[np.int8]:
        schedule = np.full((demand.shape[0], demand.shape[1] - since), 2, np.int8)
        schedule[:, 0] = 0
        if demand.shape[1] == days or early == "worse":
            return schedule
        return cheapest(demand.steps(since), PRICES) if early == "better" else schedule * 0

    monkeypatch.setattr(tiering, "by_classes", forest)
    result = tiering.replay(
        _read_daily(days, until=22 if early == "better" else days),
        tiering.Options(train=begin / days), PRICES,
    )  # fmt: skip
    by_name = {row["policy"]: row for row in result["policies"]}
    ours, hot = by_name[tiering.REFITTED], by_name["all hot"]["total_usd"]
    if early == "better":
        assert ours["plays"] == ""
        assert ours["total_usd"] > 2 * hot
    else:
        assert ours["plays"] in ("age", "last access")
        assert ours["total_usd"] == by_name[ours["plays"]]["total_usd"] <= hot


def _read_daily(days: int, until: int) -> TieringTrace:
    """Five blocks that are read each day, and one whose reads pause from day `until` to day 30."""
    rows = [(day, p) for day in range(days) for p in range(6) if p or not until <= day < 30]
    day, block = np.array(rows).T
    size = np.full(len(rows), 10**9)
    return TieringTrace(
        day * 86_400.0, block, np.zeros(len(rows), bool), size, size, np.zeros(6, int)
    )


def test_the_winner_depends_on_what_waiting_is_worth_and_on_the_cold_reads_allowed() -> None:
    trace, options = _trace(6, 12), tiering.Options(step_hours=24.0)
    rows = tiering.sensitivity(trace, options, PRICES)
    assert [row["waiting_usd_per_hour"] for row in rows] == [0, 10, 100]
    # Where waiting costs nothing, foresight leaves the most in the cheaper tiers.
    assert rows[0]["optimum"] == max(row["optimum"] for row in rows)
    assert all(row["winner"] in row for row in some(rows))
    none = tiering.replay(trace, replace(options, cold_reads=0.0), PRICES)
    for row in none["policies"]:
        assert row["is_allowed"] == (row["reads"]["cold"] == 0)
        assert row["is_allowed"] or row["policy"] != none["winner"]


def test_newer_partitions_are_those_of_the_same_table_that_are_there() -> None:
    one = np.ones((3, 3))
    exists = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]]) > 0
    demand = Demand(24.0, np.array([0, 1, 0]), exists, *(one * 0 for _ in range(5)))
    assert newer_partitions(demand).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_a_scale_multiplies_bytes() -> None:
    one, ten = (on_grid(_trace(), None, scale) for scale in (1.0, 10.0))
    np.testing.assert_allclose(ten.stored, one.stored * 10)
    np.testing.assert_allclose(ten.read, one.read * 10)
    np.testing.assert_array_equal(ten.reads, one.reads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0.0}, "no share"),
        ({"train": 1.0}, "no share"),
        ({"scale": 0.0}, "scale of nothing"),
        ({"cold_reads": 1.1}, "cold reads are no share"),
        ({"step_hours": 0.0}, "step of no time|step does not fit"),
        ({"step_hours": -1.0}, "step of no time"),
        ({"step_hours": 1e6}, "step does not fit"),
        ({"step_hours": 1e-6}, "step does not fit"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(TreehouseError, match=message):
        tiering.replay(_trace(2, 10), tiering.Options(**options), PRICES)


def test_one_request_is_too_little() -> None:
    trace = TieringTrace(
        np.zeros(1),
        np.zeros(1, int),
        np.ones(1, bool),
        np.ones(1, int),
        np.ones(1, int),
        np.zeros(1, int),
    )
    with pytest.raises(TreehouseError, match="step does not fit"):
        tiering.replay(trace, tiering.Options(), PRICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"minimum_days": None}, "not complete"), ({"usd_per_gb_month": -1}, "is no price"),
     ({"surprise": 1}, "not complete")],
)  # fmt: skip
def test_a_price_list_with_a_mistake_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    variables = price_list.project_vars()
    tiers = [dict(tier) for tier in variables["storage_tiers"]]
    for name, value in change.items():
        if value is None:
            del tiers[1][name]
        else:
            tiers[1][name] = value
    monkeypatch.setattr(price_list, "project_vars", lambda: variables | {"storage_tiers": tiers})
    with pytest.raises(TreehouseError, match=message):
        Prices.configured()
