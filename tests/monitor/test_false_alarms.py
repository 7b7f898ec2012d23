"""How often a model raises an alert without a change, and how surely with one, all rules together.

The toy answers 2 * normal + skewed; five other columns do nothing to the answers.
"""

from __future__ import annotations

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.support.cleaning import drop_everything
from tests.support.drifting import COLUMNS, TOY, drift, rows, train
from treehouse.monitor.measure import macros
from treehouse.monitor.rules import findings
from treehouse.monitor.state import Finding, ensure_monitoring
from treehouse.project.settings import Settings
from treehouse.spec.watch import Watch

WINDOW = "default.toy_window"
WHAT: dict[str, Any] = TOY | {
    "features": sorted(TOY["features"], key=lambda f: list(COLUMNS).index(f["name"])),
    "keys": ["unit", "at"], "time": "at", "features_table": WINDOW, "days": 7, "task": "value",
    "training_set": "default.toy_trained",
}  # fmt: skip


@pytest.fixture(scope="module")
def toy(settings: Settings, client: Client) -> Client:
    """The embedded engine, whose toy was trained on 5,000 rows: the same SQL runs everywhere."""
    drop_everything(client)
    ensure_monitoring(client, settings)
    train(client, 5000)
    client.command(
        "create or replace table default.toy_trained engine = MergeTree order by tuple() as select "
        "*, rowNumberInAllBlocks() as unit, now() as at, 'train' as split from default.toy_training"
    )
    return client


def alerts(toy: Client, n: int, seed: int, each: int = 1, **changes: str) -> list[Finding]:
    """What a run says of a window of n units, of `each` equal rows, with these changes."""
    toy.command(
        f"create or replace table {WINDOW} engine = MergeTree order by tuple() as select *, "
        "now() as at from (select *, rowNumberInAllBlocks() as unit from "
        f"{rows(n, seed, **changes)}) array join range({each}) as copy"
    )
    query = str(macros().effects_query(WHAT))
    effects = [dict(row) for row in toy.query(query).named_results()]
    found = drift(toy, f"(select * except (unit, at) from {WINDOW})").values()
    measured = {"health": [], "quality": [], "serving": [], "effects": effects, "drift": [*found]}
    return findings("toy", Watch(), measured)


def test_stationary_windows_hardly_raise_an_alert(toy: Client) -> None:
    """At a chance of 5 % a run, 3 or more of 8 would come once in 170 seeds."""
    assert sum(bool(alerts(toy, 300, 100 + k)) for k in range(8)) < 3


def test_equal_rows_of_one_unit_are_no_evidence(toy: Client) -> None:
    """60 partitions, seen 20 times each: p-values of 1,200 rows would raise most of them."""
    assert sum(bool(alerts(toy, 60, 500 + k, each=20)) for k in range(8)) < 3


def test_a_change_that_matters_is_found_and_others_are_not(toy: Client) -> None:
    for k in range(3):
        moved = alerts(toy, 1000, 200 + k, skewed="1.5 * -log({u2})")
        assert [(f.kind, f.name) for f in moved][:1] == [("prediction", "value")]
        assert ("drift", "skewed") in {(f.kind, f.name) for f in moved}
        null = "null::Nullable(Float64)"
        assert alerts(toy, 1000, 200 + k, count="100", category="'new'", gaps=null) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(("n", "each"), [(60, 1), (300, 1), (3000, 1), (60, 20)])
def test_fewer_than_5_of_100_stationary_runs_raise_an_alert(toy: Client, n: int, each: int) -> None:
    raised = [k for k in range(200) if alerts(toy, n, 1000 + k, each=each)]
    assert len(raised) < 10


@pytest.mark.exhaustive
@pytest.mark.parametrize(("n", "most_missed"), [(300, 15), (1000, 1)])
def test_half_as_much_again_is_found(toy: Client, n: int, most_missed: int) -> None:
    """Of 50 windows: the answers' mean size is 1.9, and the change moves it by 0.5."""
    missed = [k for k in range(50) if not alerts(toy, n, 1000 + k, skewed="1.5 * -log({u2})")]
    assert len(missed) <= most_missed
