"""spend_tier, of test_new_use_case: how much a customer spends within the coming month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from tests.definitions.repeat_purchase import DEFINITION as REPEAT
from tests.definitions.repeat_purchase import by_hand, histories, months

from tests.definitions import Counted, Definition
from tests.support.worlds import Row, World, add_months


def _training_set(world: World) -> Iterator[Row]:
    rows = REPEAT.training_set(world)
    splits = {(row["customer_id"], row["as_of"]): row["split"] for row in rows}
    for as_of in months(world, mature=True):
        for customer, _, after in histories(world, as_of):
            spent = float(sum(p["amount_usd"] for p in after))
            yield {
                "customer_id": customer,
                "as_of": as_of,
                "tier": "nothing" if spent == 0 else "little" if spent < 30 else "much",
                "amount": spent or None,
                "importance": 1 + spent / 1000,
                "known_at": add_months(as_of, 1),
                "split": splits[customer, as_of],
            }


def _features(world: World) -> Iterator[Row]:
    for row in REPEAT.features(world):
        yield {name: value for name, value in row.items() if name != "spent"}


_MARCH: Row = {"customer_id": "c4", "as_of": date(2024, 3, 1)}

DEFINITION = Definition(
    make=REPEAT.make,
    features=_features,
    training_set=_training_set,
    counted=(
        Counted(
            {"purchases": by_hand()},
            features=(_MARCH | {"visits": 2, "days_since_last": 20, "habit": "some"},),
            training_set=(
                _MARCH | {"tier": "nothing", "amount": None, "importance": 1.0},
                _MARCH | {"as_of": date(2024, 4, 1), "tier": "little", "amount": 9.0},
            ),
        ),
    ),
    variables=REPEAT.variables,
)
