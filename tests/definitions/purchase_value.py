"""purchase_value: how a customer bought before a day, and what they spent in the next months."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.definitions import Counted, Definition, Half
from tests.support.worlds import TIME_ZONE, Raw, Row, World, add_months, beside, group

_VARIABLES = {"time_zone": TIME_ZONE}
_FIRST = date(2023, 11, 30)  # windows end in February, once with a leap day
_MONTHS = 18
_UNITS = (timedelta(milliseconds=1), timedelta(hours=11))


def _make(rng: random.Random) -> Raw:
    world = World({}, _VARIABLES)
    purchases: list[Row] = []
    for n in range(25):
        for _ in range(rng.choice([1, 1, 2, 5, 12, 25])):
            purchases.append(
                {
                    "customer_id": f"c{n}" if n else "",
                    "purchased_at": _moment(rng, world),
                    "quantity": rng.choice([1, 1, 2, 7]),
                    "amount_usd": Decimal(
                        rng.choice(["0", "0.01", "9.99", "30", "700", "0.333333"])
                    ),
                }
            )
            if rng.random() < 0.2:  # the same twice
                purchases.append(dict(purchases[-1]))
    last = rng.choice([date(2025, 3, 30), date(2025, 3, 31), date(2025, 4, 14)])
    purchases.append(purchases[0] | {"purchased_at": world.midnight(last)})
    rows = [purchase | {"purchase_id": f"p{n}"} for n, purchase in enumerate(purchases)]
    return {"purchases": rows}


def _moment(rng: random.Random, world: World) -> datetime:
    """At the beginning of a month, at a day that some months lack, or anywhere."""
    month = add_months(_FIRST.replace(day=1), rng.randrange(1, _MONTHS - 1))
    day = month + timedelta(days=rng.choice([0, 0, 1, 28, 29, 30, rng.randrange(31), 13, 14]))
    at = world.midnight(min(day, date(2025, 3, 28)))
    return beside(rng, at, _UNITS)


def _days(world: World) -> dict[str, dict[date, tuple[int, Decimal]]]:
    """Items and amount of each day on which a customer bought."""
    found: dict[str, dict[date, tuple[int, Decimal]]] = {}
    for customer, rows in group(world.of("purchases"), lambda p: p["customer_id"]).items():
        by_day = group(rows, lambda p: world.day(p["purchased_at"]))
        found[customer] = {
            day: (sum(p["quantity"] for p in those), sum(p["amount_usd"] for p in those))
            for day, those in sorted(by_day.items())
        }
    return found


def _snapshots(world: World) -> list[date]:
    """Every first of a month after the first purchase, and the day after the last one."""
    days = [world.day(p["purchased_at"]) for p in world.of("purchases")]
    if not days:
        return []
    present = max(days) + timedelta(days=1)
    month = min(days).replace(day=1)
    months = {add_months(month, n) for n in range(1, 12 * (present.year - month.year) + 12)}
    return sorted({day for day in months if day <= present} | {present})


def _looked_ahead_from(world: World) -> Iterator[Row]:
    """The snapshots as a table."""
    days, horizon = _snapshots(world), world.variables["purchase_value_horizon_months"]
    for day in days:
        ends = add_months(day, horizon)
        is_present, is_mature = day == days[-1], ends <= days[-1]
        yield {
            "as_of": day, "horizon_end": ends, "is_present": is_present, "is_mature": is_mature,
        }  # fmt: skip


def _features(world: World) -> Iterator[Row]:
    for as_of in _snapshots(world):
        for customer, days in _days(world).items():
            before = {day: bought for day, bought in days.items() if day < as_of}
            if before:
                yield {"customer_id": customer, "as_of": as_of, **_row(world, as_of, before)}


def _row(world: World, as_of: date, days: dict[date, tuple[int, Decimal]]) -> Row:
    window = world.variables["purchase_value_observation_months"]
    horizon = world.variables["purchase_value_horizon_months"]
    visits, amount = {}, {}
    for months in (1, 3, 6, window):
        amounts = [usd for day, (_, usd) in days.items() if day >= add_months(as_of, -months)]
        visits[months], amount[months] = len(amounts), float(sum(amounts))
    all_days, amounts = list(days), [float(usd) for _, usd in days.values()]
    since_last, since_first = (as_of - all_days[-1]).days, (as_of - all_days[0]).days
    gaps = [(b - a).days for a, b in pairwise(all_days)]
    mean_gap = sum(gaps) / len(gaps) if gaps else None
    seen = min(since_first / 30.4, window)
    pace = amount[window] / seen
    return {
        "visits_1m": visits[1], "visits_3m": visits[3], "visits_6m": visits[6],
        "amount_1m": amount[1], "amount_3m": amount[3], "amount_6m": amount[6],
        "visits_per_month": visits[window] / seen,
        "amount_per_month": pace,
        "spend_pace": horizon * (pace + amount[3] / 3) / 2,
        "items_per_visit": sum(items for items, _ in days.values()) / len(days),
        "largest_visit": max(amounts),
        "mean_visit": sum(amounts) / len(amounts),
        "first_visit": amounts[0],
        "last_visit": amounts[-1],
        "days_since_last": since_last,
        "days_since_first": since_first,
        "mean_gap_days": mean_gap,
        "largest_gap_days": max(gaps, default=None),
        "overdue_ratio": since_last / mean_gap if mean_gap else None,
    }  # fmt: skip


def _training_set(world: World) -> Iterator[Row]:
    horizon, snapshots = world.variables["purchase_value_horizon_months"], _snapshots(world)
    ends_of = {as_of: add_months(as_of, horizon) for as_of in snapshots}
    mature = [as_of for as_of in snapshots if ends_of[as_of] <= snapshots[-1]]
    for as_of in mature:
        ends = ends_of[as_of]
        test = mature[-1]
        choice = max((day for day in mature if ends_of[day] <= test), default=date.min)
        for customer, days in _days(world).items():
            if min(days) >= as_of:
                continue
            spent = float(sum(usd for day, (_, usd) in days.items() if as_of <= day < ends))
            yield {
                "customer_id": customer,
                "as_of": as_of,
                "future_amount": spent,
                "label_known_at": ends,
                "is_outlier": spent > world.variables["purchase_value_outlier_usd"],
                "split": "test" if as_of == test
                else Half(customer) if as_of == choice
                else "train" if ends <= choice
                else "unused",
            }  # fmt: skip


def _by_hand() -> Counted:
    """In Adelaide a day begins at 13:30 UTC in summer, and at 14:30 in winter, from April 7 on."""

    def bought(who: str, at: str, quantity: int, usd: str) -> dict[str, Any]:
        return {"customer_id": who, "purchased_at": datetime.fromisoformat(at + "+00:00"),
                "quantity": quantity, "amount_usd": Decimal(usd)}  # fmt: skip

    rows = [
        bought("eve", "2023-12-30T14:00:00", 1, "1"),  # Dec 31
        bought("eve", "2024-01-31T13:29:59", 2, "2"),  # Jan 31: before the month to March 1
        bought("eve", "2024-01-31T13:30:00", 3, "4"),  # Feb 1: in it
        bought("eve", "2024-02-29T13:29:59", 4, "8"),  # Feb 29
        bought("eve", "2024-02-29T13:00:00", 1, "16"),  # the same day
        bought("eve", "2024-02-29T13:30:00", 1, "32"),  # Mar 1: the future
        bought("eve", "2024-05-31T14:29:59", 1, "64"),  # May 31: the horizon's last day
        bought("eve", "2024-05-31T14:30:00", 1, "128"),  # Jun 1: after it
        bought("one", "2024-02-09T20:00:00", 5, "10"),  # Feb 10, and never again
        bought("rich", "2024-02-09T20:00:00", 1, "0"),
        bought("rich", "2024-03-09T20:00:00", 1, "1000"),
        bought("richer", "2024-02-09T20:00:00", 1, "0"),
        bought("richer", "2024-03-09T20:00:00", 1, "1000.000001"),
    ]
    for n, row in enumerate(rows):
        row["purchase_id"] = f"p{n}"
    march = {"as_of": date(2024, 3, 1)}
    return Counted(
        {"purchases": rows},
        features=(
            march | {
                "customer_id": "eve", "visits_1m": 2, "visits_3m": 4, "visits_6m": 4,
                "amount_1m": 28.0, "amount_3m": 31.0, "amount_6m": 31.0,
                "visits_per_month": 4 / (61 / 30.4), "amount_per_month": 31 / (61 / 30.4),
                "spend_pace": 3 * (31 / (61 / 30.4) + 31 / 3) / 2,
                "items_per_visit": 11 / 4, "largest_visit": 24.0, "mean_visit": 7.75,
                "first_visit": 1.0, "last_visit": 24.0, "days_since_last": 1,
                "days_since_first": 61, "mean_gap_days": 20.0, "largest_gap_days": 31.0,
                "overdue_ratio": 0.05,
            },
            march | {
                "customer_id": "one", "visits_1m": 1, "amount_1m": 10.0, "days_since_last": 20,
                "mean_gap_days": None, "largest_gap_days": None, "overdue_ratio": None,
            },
        ),
        training_set=(
            march | {"customer_id": "eve", "future_amount": 96.0, "is_outlier": False,
                     "label_known_at": date(2024, 6, 1)},
            march | {"customer_id": "one", "future_amount": 0.0},
            march | {"customer_id": "rich", "future_amount": 1000.0, "is_outlier": False},
            march | {"customer_id": "richer", "future_amount": 1000.000001, "is_outlier": True},
        ),
    )  # fmt: skip


def _bought_once() -> Counted:
    """One purchase: the day after it is the present."""
    rows = [{"purchase_id": "p", "customer_id": "eve", "quantity": 2, "amount_usd": Decimal(3),
             "purchased_at": datetime.fromisoformat("2024-05-14T14:30:00+00:00")}]  # fmt: skip
    only = {"customer_id": "eve", "as_of": date(2024, 5, 16), "days_since_first": 1}
    return Counted({"purchases": rows}, features=(only,))


DEFINITION = Definition(
    make=_make,
    features=_features,
    training_set=_training_set,
    counted=(_by_hand(), _bought_once(), Counted({})),
    others={"purchase_value_snapshots": _looked_ahead_from},
    variables=_VARIABLES,
)
