"""The result store: what is fresh is read, what is stale never is, and a query stands behind."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine
from tests.support.named_shop import SHOP, empty_shop
from tests.support.some import some
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.platform.result_cache.fill import clear, fill, history, make_plan, stored
from treehouse.platform.result_cache.keep import Wanted, keep
from treehouse.platform.result_cache.table_versions import renew
from treehouse.platform.result_cache.views import answer_tables
from treehouse.project.errors import TreehouseError

_SQL = f"select country, count() as n from {SHOP}.orders group by country"
_GIVEN: dict[str, Any] = {
    "database": "treehouse_results",
    "tables": {f"{SHOP}.orders": 600},
    "dashboards": {"sales": 300},
    "queries": {"by_country": {"sql": _SQL, "dashboard": "sales", "panel": "by_country"}},
}


@pytest.fixture
def shop(fresh: Engine) -> Engine:
    """A table with one row, and an empty store."""
    empty_shop(fresh.client, "(country LowCardinality(String)) engine = MergeTree order by ()")
    _insert(fresh)
    return fresh


def _insert(engine: Engine) -> None:
    engine.client.command(f"insert into {SHOP}.orders values ('JP')")


def _keep(
    engine: Engine, cache: ResultCache, seconds: float = 60.0, **arguments: str
) -> dict[str, Any]:
    (query,) = cache.queries.values()
    return keep(engine.client, engine.settings, cache, [Wanted(query, arguments, seconds)])[0]


def _read(engine: Engine) -> Any:
    return engine.client.query("select * from treehouse_results.by_country").result_rows


def _allowing(seconds: float) -> ResultCache:
    cache = ResultCache.configured(_GIVEN)
    query = replace(cache.queries["by_country"], allowed_seconds=seconds)
    return replace(cache, queries={"by_country": query})


def test_a_fresh_answer_is_read_instead_of_the_table(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    assert _keep(shop, cache)["state"] == "stored"
    _insert(shop)
    assert _read(shop) == [("JP", 1)]
    read = shop.client.query("select * from treehouse_results.by_country")
    assert read.column_names == ("country", "n")
    assert [entry.fresh_seconds > 0 for entry in make_plan(shop.client, shop.settings, cache)] == [
        True
    ]


def test_an_answer_is_taken_back_though_the_clock_was_ahead(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    shop.client.command(
        "insert into treehouse_results.results select * "
        "replace(toDateTime64('2099-01-01', 6, 'UTC') as at) from treehouse_results.results"
    )
    _insert(shop)
    assert clear(shop.client, cache) == ["by_country"]
    assert stored(shop.client, cache) == []
    assert _read(shop) == [("JP", 2)]


def test_a_taken_back_answer_is_not_read(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    _insert(shop)
    assert clear(shop.client, cache) == ["by_country"]
    assert _read(shop) == [("JP", 2)]
    assert stored(shop.client, cache) == []
    assert clear(shop.client, cache) == []
    states = [row["state"] for row in history(shop.client, cache, 10)]
    assert states == ["cleared", "stored"]
    _keep(shop, cache)
    _insert(shop)
    assert _read(shop) == [("JP", 2)]


def test_an_answer_ends_at_its_time(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache, seconds=0.001)
    _insert(shop)
    time.sleep(0.01)
    assert _read(shop) == [("JP", 2)]


def test_what_is_staler_than_its_owner_allows_is_never_served(shop: Engine) -> None:
    """Whatever time to live it was stored with, and though its row says that it is fresh."""
    cache = _allowing(0.05)
    _keep(shop, cache, seconds=10_000.0)
    _insert(shop)
    time.sleep(0.1)
    assert _read(shop) == [("JP", 2)]


def test_half_an_answer_is_never_read(shop: Engine) -> None:
    """A run that is killed between its rows and the row of the log leaves nothing to read."""
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    (table,) = answer_tables(shop.client, cache)[0].values()
    shop.client.command(f"insert into {table.path} values ('XX', 9, 12345, 0)")
    assert _read(shop) == [("JP", 1)]


def test_a_failed_fill_leaves_the_last_good_answer(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    shop.client.command(f"rename table {SHOP}.orders to {SHOP}.elsewhere")
    failed = _keep(shop, cache)
    assert failed["state"] == "failed"
    assert "orders" in failed["detail"]
    shop.client.command(f"rename table {SHOP}.elsewhere to {SHOP}.orders")
    _insert(shop)
    assert _read(shop) == [("JP", 1)]


def test_a_dropped_table_is_the_engines_error(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    shop.client.command(f"drop table {SHOP}.orders sync", settings={"check_table_dependencies": 0})
    with pytest.raises(ClickHouseError, match="orders"):
        _read(shop)


def test_another_text_has_other_answers(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    query = replace(cache.queries["by_country"], sql=f"select count() as n from {SHOP}.orders")
    other = replace(cache, queries={"by_country": query})
    _insert(shop)
    _keep(shop, other)
    assert _read(shop) == [(2,)]


def test_an_answer_keeps_its_order(shop: Engine) -> None:
    shop.client.command(
        f"insert into {SHOP}.orders select toString(cityHash64(number)) from numbers(50000)"
    )
    cache = ResultCache.configured(_GIVEN)
    sql = f"select country from {SHOP}.orders where country != 'JP' order by country"
    query = replace(cache.queries["by_country"], sql=sql)
    _keep(shop, replace(cache, queries={"by_country": query}))
    read = [country for (country,) in _read(shop)]
    assert len(read) == 50_000
    assert read == sorted(read)


def test_only_one_of_the_two_is_run(shop: Engine) -> None:
    shop.client.command(f"insert into {SHOP}.orders select 'DE' from numbers(100000)")
    cache = ResultCache.configured(_GIVEN)
    _keep(shop, cache)
    rows = []
    for number in range(2):
        comment = f"which {number}"
        shop.client.query(
            "select * from treehouse_results.by_country", settings={"log_comment": comment}
        )
        shop.client.command("system flush logs")
        rows.append(
            shop.client.query(
                "select max(read_rows) from system.query_log "
                f"where log_comment = '{comment}' and type = 'QueryFinish'"
            ).result_rows[0][0]
        )
        clear(shop.client, cache)
    assert rows[0] < 100 < 100_000 <= rows[1]


def test_nothing_is_kept_without_a_decision(shop: Engine) -> None:
    cache = ResultCache.configured(_GIVEN)
    plan = make_plan(shop.client, shop.settings, cache)
    assert [(entry.admit, entry.why) for entry in plan] == [
        (False, "its dashboard and panel were not asked for")
    ]
    assert fill(shop.client, shop.settings, cache) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sql": "select count() from treehouse_secrets.people"}, "treehouse_secrets.people"),
        ({"sql": "select count() from system.one"}, "system.one"),
        ({"sql": "select 1"}, "reads a table"),
        ({"sql": f"drop table {SHOP}.orders"}, "one SELECT"),
        ({"sql": f"select 1 from {SHOP}.orders; select 2"}, "one SELECT"),
        ({"sql": f"select now() from {SHOP}.orders"}, "now"),
        ({"sql": f"select CURRENT_TIMESTAMP from {SHOP}.orders"}, "CURRENT_TIMESTAMP in"),
        ({"sql": f"select CURRENT_DATE from {SHOP}.orders"}, "CURRENT_DATE in"),
        ({"sql": f"select curdate() from {SHOP}.orders"}, "curdate in"),
        ({"sql": f"select `now64`(3) from {SHOP}.orders"}, "now64 in"),
        ({"sql": f"select user(), queryID() from {SHOP}.orders"}, "user, queryID in"),
        ({"sql": f"select arrayShuffle([country]) from {SHOP}.orders"}, "arrayShuffle in"),
        ({"sql": f"select 1 from {SHOP}.orders, (select 1 from system.parts)"}, "system in"),
        ({"sql": f"with u as (select 1) select 1 from {SHOP}.orders, url('x') as u"}, "url("),
        ({"sql": f"select ( from {SHOP}.orders"}, "sqlglot"),
    ],
)
def test_what_can_not_be_kept_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(TreehouseError, match="can't be used") as caught:
        ResultCache.configured(_GIVEN | {"queries": {"q": change}})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        (f"select today as day, n from {SHOP}.counted", "today"),
        (f"select USER as who, n from {SHOP}.counted", "currentUser"),
        (f"select n from {SHOP}.counted where late(n)", "now"),
        (f"select n from {SHOP}.over_late", "now"),
        (f"select n from {SHOP}.thrown", "rand"),
        (f"select n from {SHOP}.counted where n in (select n from {SHOP}.late)", "now"),
        (f"select n, treehouse_loaded(1) from {SHOP}.counted", "treehouse_loaded"),
    ],
)
def test_what_the_engine_says_changes_by_itself_is_not_kept(
    shop: Engine, sql: str, named: str
) -> None:
    """Words without parentheses, SQL functions, and views in views."""
    counted = f"select n from {SHOP}.counted"
    views = {
        "counted": f"select count() as n from {SHOP}.orders",
        "late": f"{counted} where now() > n",
        "over_late": f"select n from {SHOP}.late",
        "thrown": f"{counted} where rand() > 1",
    }
    for name, text in views.items():
        shop.client.command(f"create or replace view {SHOP}.{name} as {text}")
    shop.client.command("create or replace function late as (n) -> n < toUnixTimestamp(now())")
    try:
        tables = {f"{SHOP}.{name}": 60 for name in (*views, "orders")}
        queries = {"moves": {"sql": sql}, "stays": {"sql": counted}}
        cache = ResultCache.configured(_GIVEN | {"tables": tables, "queries": queries})
        plan = {entry.query.name: entry for entry in make_plan(shop.client, shop.settings, cache)}
        assert (plan["moves"].admit, plan["moves"].ttl_seconds) == (False, 0)
        assert named in plan["moves"].why
        assert named not in plan["stays"].why
        wanted = [Wanted(query, {}, 60.0) for query in cache.queries.values()]
        done = {row["name"]: row for row in keep(shop.client, shop.settings, cache, wanted)}
        assert done["moves"]["state"] == "failed"
        assert named in done["moves"]["detail"]
        assert done["stays"]["state"] == "stored"
    finally:
        shop.client.command("drop function late")


def test_a_column_may_have_the_name_of_a_function(shop: Engine) -> None:
    """`user` alone is a call only where nothing is called so."""
    shop.client.command(f"alter table {SHOP}.orders add column user String default 'Jo'")
    sql = f"select user, max(now) as now from (select user, 1 as now from {SHOP}.orders) group by 1"
    cache = ResultCache.configured(_GIVEN | {"queries": {"by_country": {"sql": sql}}})
    assert _keep(shop, cache)["state"] == "stored"
    assert _read(shop) == [("Jo", 1)]


def test_an_answer_is_stored_for_no_longer_than_its_owner_allows(shop: Engine) -> None:
    """At most 300 s, whatever is wanted; a renewal moves the end by as long, and no further."""
    cache = ResultCache.configured(_GIVEN)
    for wanted, kept in ((10_000.0, 300), (301.0, 300), (20.0, 20)):
        _keep(shop, cache, seconds=wanted)
        renew(shop.client, cache, answer_tables(shop.client, cache)[0])
        lives = shop.client.query(
            "select state, dateDiff('second', computed_at, expires_at), "
            "dateDiff('second', verified_at, expires_at) "
            "from treehouse_results.results order by at desc limit 2"
        ).result_rows
        assert {state for state, *_ in lives} == {"stored", "renewed"}
        assert {row[1] for row in lives if row[0] == "stored"} == {kept}
        assert all(left <= kept for *_, left in some(lives))


def test_a_plan_gives_no_longer_life_than_the_owner_allows(shop: Engine) -> None:
    """Though the decision says more; and less if it says less."""
    database = shop.settings.database
    shop.client.command(f"create database if not exists {database} engine = Atomic")
    cache = ResultCache.configured(_GIVEN)
    for decided, kept in ((10_000, 300.0), (20, 20.0)):
        shop.client.command(
            f"create or replace view {database}.cache_admission_panels as select 'sales' as "
            f"dashboard, 'by_country' as panel, true as admit, {decided} as ttl_seconds, "
            "1 as model_version"
        )
        (entry,) = make_plan(shop.client, shop.settings, cache)
        assert (entry.admit, entry.ttl_seconds) == (True, kept)
        fill(shop.client, shop.settings, cache)
        ends = shop.client.query(
            "select dateDiff('second', computed_at, expires_at) "
            "from treehouse_results.results order by at desc limit 1"
        ).result_rows
        assert ends == [(kept,)]
        clear(shop.client, cache)
    shop.client.command(f"drop view {database}.cache_admission_panels sync")


def test_a_name_is_one_plain_word() -> None:
    with pytest.raises(TreehouseError, match="lower-case"):
        ResultCache.configured(_GIVEN | {"queries": {"a b": {"sql": _SQL}}})


def test_the_owner_who_allows_least_decides() -> None:
    query: NamedQuery = ResultCache.configured(_GIVEN).queries["by_country"]
    assert query.allowed_seconds == 300
    other = ResultCache.configured(_GIVEN | {"dashboards": {}}).queries["by_country"]
    assert other.allowed_seconds == 600
