"""predict_<use_case>_row() and its kin bind by name, can be kept, and refuse what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Cli
from tests.flow.conftest import ARGUMENTS, House
from tests.support.small_bundle import FEATURE, USE_CASE
from treehouse.clickhouse.signature import NAMED, call_by_name, call_by_order, functions
from treehouse.project.contract import contracts, load_contract, other_columns

CONTRACT = load_contract(USE_CASE)
ROWS, KEPT, VIEW = (f"treehouse.named_{name}" for name in ("rows", "kept", "view"))
NAME = f"predict_{USE_CASE}_row"
BY_NAME = f"{NAME}(tuple(* except (customer_id, as_of)))"


@pytest.fixture
def rows(house: House) -> Iterator[House]:
    """The house with a version that answers 3 * amount_1m, and two rows of features and keys."""
    house.promoted(3.0)
    columns = ", ".join(f"{f.name} {f.type}" for f in reversed(CONTRACT.features))
    command = house.engine.client.command
    command(
        f"create table {ROWS} (as_of Date, {columns}, customer_id String) "
        "engine = MergeTree order by customer_id"
    )
    command(f"insert into {ROWS} (customer_id, {FEATURE}) values ('a', 10), ('b', 20)")
    yield house
    for table in (KEPT, VIEW, ROWS):
        command(f"drop table if exists {table} sync")


def test_a_tuple_binds_by_name_whatever_the_order(rows: House) -> None:
    """The table's columns stand in the opposite order of the arguments."""
    plain = rows.query(f"select predict_{USE_CASE}({ARGUMENTS}) from {ROWS} order by customer_id")
    assert plain == [(30.0,), (60.0,)]
    assert rows.query(f"select {BY_NAME} from {ROWS} order by customer_id {NAMED}") == plain
    turned = rows.query(
        f"select {BY_NAME.replace('_row(', '_row_full(')} from {ROWS} order by customer_id {NAMED}"
    )
    assert [answer["value"] for (answer,) in turned] == [30.0, 60.0]
    at = rows.query(f"select {NAME}_at(1, tuple({ARGUMENTS})) from {ROWS} {NAMED}")
    assert sorted(at) == plain


def test_views_tables_and_materialized_views_keep_it(rows: House) -> None:
    command = rows.engine.client.command
    command(call_by_name(CONTRACT, ROWS, other_columns(USE_CASE), VIEW))
    view = f"select customer_id, value from {VIEW} order by customer_id"
    assert rows.query(view) == [("a", 30.0), ("b", 60.0)]
    rows.promoted(5.0)
    assert rows.query(view) == [("a", 50.0), ("b", 100.0)]
    engine = "engine = MergeTree order by customer_id as"
    command(f"create table {KEPT} {engine} select customer_id, {BY_NAME} as p from {ROWS} {NAMED}")
    assert rows.query(f"select p from {KEPT} order by p") == [(50.0,), (100.0,)]
    command(f"drop table {KEPT} sync")
    command(
        f"create materialized view {KEPT} {engine} "
        f"select customer_id, assumeNotNull({BY_NAME}) as p from {ROWS} {NAMED}"
    )
    command(f"insert into {ROWS} (customer_id, {FEATURE}) values ('c', 30)")
    assert rows.query(f"select customer_id, p from {KEPT}") == [("c", 150.0)]


def test_the_call_in_full_can_be_pasted(rows: House) -> None:
    text = call_by_order(CONTRACT, ROWS)
    assert re.search(rf"\b{FEATURE}, +-- Float64: .+USD", text)
    assert sorted(rows.query(text)) == [("a", 30.0), ("b", 60.0)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (ARGUMENTS.replace(FEATURE, f"{FEATURE} as amount_l"), FEATURE),  # missing
        (f"{ARGUMENTS}, customer_id", "no others"),  # one that is no feature
        ("customer_id, * except (customer_id)", "no others"),
    ],
)
def test_names_that_do_not_fit_are_refused(rows: House, given: str, told: str) -> None:
    with pytest.raises(ClickHouseError, match=told) as refused:
        rows.query(f"select {NAME}(tuple({given})) from {ROWS} {NAMED}")
    assert FEATURE in str(refused.value)


def test_a_tuple_without_names_is_refused_with_what_gives_them(rows: House) -> None:
    with pytest.raises(ClickHouseError, match=NAMED):
        rows.query(f"select {NAME}(tuple({ARGUMENTS})) from {ROWS}")


def test_every_function_that_is_told_is_there(rows: House) -> None:
    there = {name for (name,) in rows.query("select name from system.functions")}
    told = [row["function"] for c in contracts().values() for row in functions(c)]
    assert len(told) == len(set(told)) > 8 * len(contracts())
    assert set(told) <= there


@pytest.mark.embedded
def test_the_command_prints_all_of_it(run_cli: Cli) -> None:
    shown = run_cli("functions", "ltv").stdout
    assert "d1_duration,        -- Int64: Time in the app on day 1, in milliseconds." in shown
    assert "create view treehouse.my_ltv as" in shown
    assert "predict_ltv_row(tuple(* except (user_id, installed_at, install_day)))" in shown
    assert NAMED in shown
    refused = run_cli("functions", "ltw", check=False)
    assert refused.returncode == 2
    assert "did you mean ltv?" in refused.stderr
