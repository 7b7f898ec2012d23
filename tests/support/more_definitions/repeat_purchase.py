"""repeat_purchase, of test_new_use_case: what a customer had bought, and whether they buy again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

from tests.definitions import Counted, Definition, Half
from tests.definitions.purchase_value import DEFINITION as PURCHASES
from tests.support.worlds import Row, World, add_months, group


def histories(world: World, as_of: date) -> Iterator[tuple[str, list[Row], list[Row]]]:
    """Every customer of the sample who had bought, with what they bought before and within the
    month that begins then."""
    for customer, rows in group(world.of("purchases"), lambda p: p["customer_id"]).items():
        before = [p for p in rows if world.day(p["purchased_at"]) < as_of]
        after = [p for p in rows if as_of <= world.day(p["purchased_at"]) < add_months(as_of, 1)]
        if before and int(customer[1:] or 0) % 4 == 0:
            yield customer, before, after


def months(world: World, *, mature: bool) -> list[date]:
    """The firsts of months from which it looks ahead."""
    days = [world.day(p["purchased_at"]) for p in world.of("purchases")]
    if not days:
        return []
    first, present = min(days).replace(day=1), max(days) + timedelta(days=1)
    found = [add_months(first, n) for n in range(1, 30)]
    return [day for day in found if (add_months(day, 1) if mature else day) <= present]


def _features(world: World) -> Iterator[Row]:
    for as_of in months(world, mature=False):
        for customer, before, _ in histories(world, as_of):
            days = sorted({world.day(p["purchased_at"]) for p in before})
            yield {
                "customer_id": customer,
                "as_of": as_of,
                "visits": len(days),
                "spent": float(sum(p["amount_usd"] for p in before)),
                "days_since_last": (as_of - days[-1]).days,
                "habit": "once" if len(days) == 1 else "some" if len(days) < 4 else "many",
            }


def _training_set(world: World) -> Iterator[Row]:
    rows = [
        {"customer_id": customer, "as_of": as_of, "buys_again": bool(after)}
        for as_of in months(world, mature=True)
        for customer, _, after in histories(world, as_of)
    ]
    for row in rows:
        yield row | {"split": split_of(row, max(other["as_of"] for other in rows))}


def split_of(row: Row, test: date) -> str | Half:
    """The last month tests, and the one before it chooses."""
    if row["as_of"] == test:
        return "test"
    return "train" if row["as_of"] < add_months(test, -1) else Half(row["customer_id"])


def by_hand() -> list[Row]:
    """Purchases of two customers, of whom one is not in the sample."""
    at = ("2024-01-15", "2024-01-15", "2024-02-10", "2024-04-30")
    return [
        {"purchase_id": f"p{n}-{who}", "customer_id": who, "quantity": 1, "amount_usd": Decimal(9),
         "purchased_at": datetime.fromisoformat(f"{day}T02:00:00+00:00")}
        for n, day in enumerate(at) for who in ("c4", "c3")
    ]  # fmt: skip


_MARCH: Row = {"customer_id": "c4", "as_of": date(2024, 3, 1)}

DEFINITION = Definition(
    make=PURCHASES.make,
    features=_features,
    training_set=_training_set,
    counted=(
        Counted(
            {"purchases": by_hand()},
            features=(
                _MARCH | {"visits": 2, "spent": 27.0, "days_since_last": 20, "habit": "some"},
            ),
            training_set=(
                _MARCH | {"buys_again": False},
                _MARCH | {"as_of": date(2024, 4, 1), "buys_again": True},
            ),
        ),
    ),
    variables=PURCHASES.variables,
)
