"""Reconciling the daily states with the rows, whoever inserted them and however."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from hypothesis import given
from hypothesis import strategies as st

from tests.load.conftest import DATABASE, House, some_examples
from treehouse.ingest import reconcile as module
from treehouse.ingest.reconcile import Difference, reconcile
from treehouse.project.errors import TreehouseError

pytestmark = pytest.mark.slow

MODELS = "treehouse_reconcile_tests"
FINAL = (
    "select user_id, day, sum(events), uniqExactMerge(sessions), sum(duration_ms), "
    f"sum(revenue_usd), sum(payments), max(largest_payment_usd) from {MODELS}.user_daily "
    "group by user_id, day order by all"
)
HEADER = "event_id,user_id,event_name,event_at,session_id,duration_ms,revenue_usd"


SELECT = f"""
select
    user_id,
    toDate(event.event_at, 'UTC') as day,
    sumSimpleState(toUInt64(1)) as events,
    uniqExactState(nullIf(event.session_id, '')) as sessions,
    sumSimpleState(event.duration_ms) as duration_ms,
    sumSimpleState(event.revenue_usd) as revenue_usd,
    sumSimpleState(toUInt64(event.revenue_usd > 0)) as payments,
    maxSimpleState(event.revenue_usd) as largest_payment_usd
from {DATABASE}.events as event
group by user_id, day
"""


@pytest.fixture
def daily(house: House) -> Iterator[House]:
    """Empty sources, and daily states over them as dbt builds them: a table, and a view into it."""
    table = f"{MODELS}.user_daily"
    for statement in (
        f"drop database if exists {MODELS} sync",
        f"create database {MODELS} engine = Atomic",
        f"create table {table} engine = AggregatingMergeTree order by (user_id, day) "
        f"partition by toYYYYMM(day) empty as {SELECT}",
        f"create materialized view {MODELS}.user_daily_mv to {table} as {SELECT}",
    ):
        house.client.command(statement)
    yield replace(house, settings=replace(house.settings, database=MODELS))
    house.client.command(f"drop database {MODELS} sync")


def load_some(house: House) -> None:
    lines = [
        f"e{i},u{i % 5},open,2024-01-0{1 + i % 3}T00:00:00Z,s{i % 8},{i},{i / 4}" for i in range(90)
    ]
    house.load("events", house.csv([HEADER, *lines]))


def differences(house: House) -> set[tuple[str, str, str, str, int]]:
    found = reconcile(house.client, house.settings)
    return {(d.day, d.column, d.kept, d.expected, d.rows) for d in found}


def test_no_difference_after_loads(daily: House) -> None:
    load_some(daily)
    load_some(daily)
    assert daily.query(f"select count() from ({FINAL})") == [(15,)]
    assert reconcile(daily.client, daily.settings) == []


def test_what_a_view_missed_is_told_by_day_and_column_and_repaired(daily: House) -> None:
    load_some(daily)
    right = daily.query(FINAL)
    daily.client.command(
        f"alter table {MODELS}.user_daily delete where user_id = 'u3' and day = '2024-01-02'",
        settings={"mutations_sync": 2},
    )
    assert daily.query(FINAL) != right
    found = reconcile(daily.client, daily.settings)
    assert {d.column for d in found} == {
        *("events", "sessions", "duration_ms", "revenue_usd", "payments", "largest_payment_usd")
    }
    assert {(d.table, d.day, d.rows, d.examples, d.repaired) for d in found} == {
        (f"{MODELS}.user_daily", "2024-01-02", 1, ("u3",), False)
    }
    [events] = [d for d in found if d.column == "events"]
    assert (events.kept, events.expected) == ("24", "30")

    repaired = reconcile(daily.client, daily.settings, repair=True)
    assert repaired == [replace(d, repaired=True) for d in found]
    assert daily.query(FINAL) == right
    assert reconcile(daily.client, daily.settings) == []
    names = daily.query(f"select name from system.tables where database = '{MODELS}' order by 1")
    assert names == [("user_daily",), ("user_daily_mv",)]


def test_the_view_still_fills_the_table_after_a_repair(daily: House) -> None:
    load_some(daily)
    daily.client.command(f"truncate table {MODELS}.user_daily")
    reconcile(daily.client, daily.settings, repair=True)
    daily.load("events", daily.csv([HEADER, "new,u9,open,2024-02-01,s,1,2"]))
    assert daily.query(f"select count() from ({FINAL}) where user_id = 'u9'") == [(1,)]
    assert reconcile(daily.client, daily.settings) == []


def test_rows_that_were_counted_but_are_gone(daily: House) -> None:
    load_some(daily)
    daily.client.command(
        f"alter table {DATABASE}.events delete where event_id in ('e0', 'e15')",
        settings={"mutations_sync": 2},
    )
    assert ("2024-01-01", "events", "30", "28", 1) in differences(daily)


def test_differences_that_cancel_out_are_seen(daily: House) -> None:
    """One user has what another lacks: each day's sums are right."""
    load_some(daily)
    daily.client.command(
        f"alter table {DATABASE}.events update duration_ms = if(event_id = 'e0', 5, 4) "
        "where event_id in ('e0', 'e9')",
        settings={"mutations_sync": 2},
    )
    [found] = reconcile(daily.client, daily.settings)
    assert (found.column, found.rows, found.examples) == ("duration_ms", 2, ("u0", "u4"))
    assert found.kept == found.expected


def test_ids_that_are_there_twice_are_told_and_stay(daily: House) -> None:
    load_some(daily)
    daily.client.command(
        f"insert into {DATABASE}.events select * from {DATABASE}.events where event_id = 'e7'"
    )
    for repair in (False, True):
        assert reconcile(daily.client, daily.settings, repair=repair) == [
            Difference(f"{DATABASE}.events", "", "event_id", "91", "90", 1, ("e7",))
        ]


def test_a_load_whose_view_failed_is_made_good(daily: House) -> None:
    daily.client.command(
        f"create materialized view {MODELS}.a_broken engine = MergeTree order by () as "
        f"select throwIf(user_id = 'u1') as a from {DATABASE}.events"
    )
    with pytest.raises(ClickHouseError):
        load_some(daily)
    daily.client.command(f"drop table {MODELS}.a_broken")
    load_some(daily)
    reconcile(daily.client, daily.settings, repair=True)
    assert reconcile(daily.client, daily.settings) == []
    assert daily.query(f"select sum(events) from {MODELS}.user_daily") == [(90,)]


def test_rows_that_keep_arriving_are_told(daily: House, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(module, "_counts", lambda *_: [next(counts)])
    with pytest.raises(TreehouseError, match="rows kept arriving"):
        reconcile(daily.client, daily.settings, repair=True)


def test_without_views_there_is_nothing_to_compare(house: House) -> None:
    assert reconcile(house.client, replace(house.settings, database="treehouse_nowhere")) == []


def test_parametric_and_simple_states() -> None:
    for kind, expected in {
        "SimpleAggregateFunction(sum, UInt64)": "sum(`c`)",
        "SimpleAggregateFunction(groupArrayArray(2), Array(Int8))": "groupArrayArray(2)(`c`)",
        "AggregateFunction(uniqExact, Nullable(String))": "uniqExactMerge(`c`)",
        "AggregateFunction(quantiles(0.5, 0.9), Float64)": "quantilesMerge(0.5, 0.9)(`c`)",
        "UInt8": "any(`c`)",
    }.items():
        assert module._final("c", kind) == expected


@some_examples
@given(
    st.lists(
        st.tuples(
            st.sampled_from("uvw"), st.integers(1, 3), st.sampled_from(["", "s", "t"]),
            st.integers(0, 9), st.integers(-500, 500),
        ),
        min_size=1,
        max_size=20,
    ),
    st.randoms(),
)  # fmt: skip
def test_any_order_of_arrival_ends_in_the_states_of_a_rebuild(
    daily: House, rows: list[tuple[str, int, str, int, int]], shuffle: random.Random
) -> None:
    lines = [
        f"e{i},{user},open,2024-01-0{day},{session},{duration},{cents / 100}"
        for i, (user, day, session, duration, cents) in enumerate(rows)
    ]
    finals = []
    for _ in range(2):
        daily.empty()
        daily.client.command(f"truncate table {MODELS}.user_daily")
        shuffle.shuffle(lines)
        cut = shuffle.randint(0, len(lines))
        for part in (lines[:cut], lines[cut:], lines[: cut // 2]):
            if part:
                daily.load("events", daily.csv([HEADER, *part]))
        finals.append(daily.query(FINAL))
        assert reconcile(daily.client, daily.settings) == []
    assert finals[0] == finals[1]
    assert not re.search("None", str(finals))
