"""The result store: what is fresh is read, what is stale never is, and a query stands behind."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine
from tests.support.named_shop import SHOP, empty_shop
from training.errors import TreehouseError
from training.results.answers import Wanted, keep
from training.results.config import NamedQuery, ResultCache
from training.results.store import clear, fill, history, make_plan, stored
from training.results.views import answer_tables

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
        ({"sql": f"select ( from {SHOP}.orders"}, "sqlglot"),
    ],
)
def test_what_can_not_be_kept_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(TreehouseError, match="can't be used") as caught:
        ResultCache.configured(_GIVEN | {"queries": {"q": change}})
    assert named in str(caught.value)


def test_a_name_is_one_plain_word() -> None:
    with pytest.raises(TreehouseError, match="lower-case"):
        ResultCache.configured(_GIVEN | {"queries": {"a b": {"sql": _SQL}}})


def test_the_owner_who_allows_least_decides() -> None:
    query: NamedQuery = ResultCache.configured(_GIVEN).queries["by_country"]
    assert query.allowed_seconds == 300
    other = ResultCache.configured(_GIVEN | {"dashboards": {}}).queries["by_country"]
    assert other.allowed_seconds == 600
