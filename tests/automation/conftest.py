"""A small shop on each engine in turn: purchases, features, and one version that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.conftest import Engine
from tests.support.cleaning import drop_everything
from treehouse.ingest.sources import ensure_raw
from treehouse.registry import publish as publishing
from treehouse.retrain.run import HAND, Cause, Result, retrain
from treehouse.spec import Boosting, Retrain, Spec, load_spec
from treehouse.spec.gates import Gates

NAME = "purchase_value"
_CUSTOMERS = 1200
# Who buys more often and for more is told apart by a number of his own; 13 months of it.
_PURCHASES = f"""
insert into treehouse_raw.purchases (purchase_id, customer_id, purchased_at, quantity, amount_usd)
select
    toString(number),
    concat('c', toString(customer)),
    toDateTime64('2024-01-01', 3, 'UTC')
        + toIntervalDay(intDiv(cityHash64(number, 1) % 1000 * 395, 1000)),
    1 + cityHash64(number, 2) % 3,
    toDecimal64(5 + customer % 20 + cityHash64(number, 3) % 5, 6)
from (
    select number, toUInt64(floor({_CUSTOMERS} * pow(cityHash64(number) % 10000 / 10000, 3)))
        as customer
    from numbers(9 * {_CUSTOMERS})
)
"""


@dataclass(frozen=True)
class Shop:
    """An engine with purchases, and the spec of a small model over them."""

    engine: Engine
    spec: Spec

    def retrain(self, cause: Cause = HAND, **policy: Any) -> Result:
        """Retrain; `policy` changes the spec's `Retrain`."""
        spec = replace(self.spec, retrain=replace(self.spec.retrain, **policy))
        return retrain(self.engine.client, self.engine.settings, spec, cause, quiet=True)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.engine.client.query(sql).result_rows]

    def champion(self) -> int:
        """The version that the engine asks."""
        rows = self.query(
            f"select version from treehouse_registry.champions where model = '{NAME}'"
        )
        return int(rows[0][0]) if rows else 0

    def run(self) -> dict[str, Any]:
        """The newest run, as the view has it."""
        result = self.engine.client.query(
            f"select * from treehouse_registry.runs where model = '{NAME}' "
            "order by run desc limit 1"
        )
        return next(iter(result.named_results()))


def small_spec() -> Spec:
    """The use case with few trees, a rule that is easy to beat, and gates for a busy machine."""
    return replace(
        load_spec(NAME),
        boosting=Boosting(trees=20, leaves=7, depth=3, patience=5, rows_per_leaf=40),
        objectives=("squared_error",),
        trainers=("lightgbm",),
        baselines={"a thousand dollars": "1000."},
        fitted_baselines={},
        cohort=("least(visits_6m, 5)",),
        gates=Gates(row_us=1e6, call_ms=1e6),
        retrain=Retrain(promote=True),
    )


@pytest.fixture(scope="package")
def shop(engine: Engine) -> Shop:
    """Each engine in turn, with version 1 trained, published and promoted by a first run."""
    drop_everything(engine.client)
    ensure_raw(engine.client, engine.settings)
    engine.client.command(_PURCHASES)
    return Shop(engine, small_spec())


@contextmanager
def gates_of(spec: Spec) -> Iterator[None]:
    """Publishing judges by this spec's gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "load_spec", lambda _: spec)
        yield


@pytest.fixture(autouse=True)
def _gates_of_the_shop() -> Iterator[None]:
    """Not for longer than a test: fixtures of a package outlive it."""
    with gates_of(small_spec()):
        yield


@pytest.fixture(scope="package")
def first(shop: Shop) -> Result:
    """The run that began with purchases alone."""
    with gates_of(shop.spec):
        return shop.retrain(Cause("first", "nothing is published yet"))


@pytest.fixture(scope="package")
def answering(shop: Shop, first: Result) -> Shop:
    """A shop whose first version answers."""
    assert first.outcome == "promoted", first.detail
    return shop
