"""Answers with parameters and of other users; longer lives where nothing was written."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine, RunningServer
from tests.support.named_shop import SHOP, empty_shop
from tests.support.server import READER_PASSWORD
from tests.support.some import some
from treehouse.clickhouse.client import connect, identifier
from treehouse.clickhouse.state import ensure_secret
from treehouse.platform.query_log.collect import collect
from treehouse.platform.result_cache.arguments import argument_hash
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import clear, stored, upkeep
from treehouse.platform.result_cache.keep import Wanted, keep
from treehouse.platform.result_cache.table_versions import versions
from treehouse.platform.result_cache.views import answer_tables, clean, drop_views, views_there

_SQL = (
    f"select country, count() as n, max(note) as note from {SHOP}.orders "
    "where at >= {since:DateTime('UTC')} and ({country:String} = '' or country = {country:String}) "
    "group by country order by n desc limit {most:UInt8}"
)
_GIVEN: dict[str, Any] = {
    "database": "treehouse_results",
    "tables": {f"{SHOP}.orders": 600},
    "queries": {
        "by_country": {"sql": _SQL, "dashboard": "sales", "panel": "by_country"},
        "modelled": {"sql": f"select dictGet('x.y', 'z', toUInt64(1)) as m, n from {SHOP}.orders"},
        "everything": {"sql": f"select count() as n from {SHOP}.orders"},
    },
}
_JP = {"since": "2026-06-01 00:00:00", "country": "JP", "most": "5"}
_ALL = _JP | {"country": ""}
_ODD = "it's \\ {odd}\n\u00e9"


@pytest.fixture
def shop(fresh: Engine) -> Engine:
    """A table of three rows, and an empty store."""
    empty_shop(
        fresh.client,
        "(at DateTime('UTC'), country LowCardinality(String), note Nullable(String)) "
        "engine = MergeTree partition by toYYYYMM(at) order by at",
    )
    for _ in range(3):
        _insert(fresh.client)
    return fresh


def _insert(client: Client) -> None:
    row = ["2026-06-02 00:00:00", "JP", None]
    client.command(
        f"insert into {SHOP}.orders select {{a:DateTime('UTC')}}, {{c:String}}, null",
        parameters={"a": row[0], "c": row[1]},
    )


@pytest.fixture
def cache() -> ResultCache:
    """With a query whose answers can be kept, and one that calls a dictionary."""
    return ResultCache.configured(_GIVEN)


def _keep(
    engine: Engine, cache: ResultCache, arguments: dict[str, str], seconds: float = 300.0
) -> dict[str, Any]:
    wanted = Wanted(cache.queries["by_country"], arguments, seconds)
    return keep(engine.client, engine.settings, cache, [wanted])[0]


def _read(client: Client, arguments: dict[str, str], comment: str = "") -> Any:
    named = ", ".join(f"{name} = {{v_{name}:String}}" for name in arguments)
    values = {f"v_{name}": value for name, value in arguments.items()}
    return client.query(
        f"select * from treehouse_results.by_country({named})",
        parameters=values,
        settings={"log_comment": comment} if comment else {},
    ).result_rows


def _ends(engine: Engine) -> Any:
    sql = "select max(expires_at) from treehouse_results.results"
    return engine.client.query(sql).result_rows[0][0]


def test_each_arguments_have_their_own_answer(shop: Engine, cache: ResultCache) -> None:
    assert _keep(shop, cache, _JP)["state"] == "stored"
    _insert(shop.client)
    assert _read(shop.client, _JP) == [("JP", 3, None)]
    assert _read(shop.client, _ALL) == [("JP", 4, None)]
    assert _keep(shop, cache, _ALL)["answer_rows"] == 1
    _insert(shop.client)
    assert [row[1] for row in (*_read(shop.client, _JP), *_read(shop.client, _ALL))] == [3, 4]
    odd = _JP | {"country": _ODD}
    assert _keep(shop, cache, odd)["answer_rows"] == 0
    assert _read(shop.client, odd) == []


def test_a_query_that_can_not_be_read_fails_alone(shop: Engine, cache: ResultCache) -> None:
    wanted = [
        Wanted(query, _JP if query.parameters else {}, 60.0) for query in cache.queries.values()
    ]
    done = {row["name"]: row for row in keep(shop.client, shop.settings, cache, wanted)}
    assert {name: row["state"] for name, row in done.items()} == {
        "by_country": "stored", "modelled": "failed", "everything": "stored",
    }  # fmt: skip
    assert "x.y" in done["modelled"]["detail"]


_COLUMNS = {
    "low_cardinality": "toLowCardinality(toUInt8(1))",
    "low_cardinality_null": "toLowCardinality(toNullable(toFloat64(1)))",
    "fixed": "toFixedString('a', 300)",
    "wide": "toInt256(-7)",
    "decimal": "toDecimal256('1.5', 40)",
    "enumerated": "cast('b', 'Enum8(\\'a\\' = -1, \\'b\\' = 2)')",
    "address": "toIPv6('::1')",
    "mapped": "map('a', [1, 2])",
    "named": "cast((1, 'x'), 'Tuple(a UInt8, `b c` String)')",
    "span": "interval 1 day",
    "either": "cast(1, 'Variant(UInt8, String)')",
    "dotted`.\\name": "'x'",
    "at": "toDateTime64('2026-06-01 00:00:00', 9, 'Asia/Tokyo')",
}
_NEVER_KEPT = {"nothing": "null", "empty": "[]"}


def test_an_answer_has_columns_of_any_type(fresh: Engine) -> None:
    """What no table takes fails alone, and its name and type are told."""
    empty_shop(fresh.client, "(n UInt8) engine = MergeTree order by n")
    fresh.client.command(f"insert into {SHOP}.orders values (1)")
    columns = _COLUMNS | _NEVER_KEPT
    names = dict(zip((f"q{i}" for i in range(len(columns))), columns, strict=True))
    queries = {
        query: {"sql": f"select {columns[name]} as {identifier(name)}, n from {SHOP}.orders"}
        for query, name in names.items()
    }
    cache = ResultCache.configured(_GIVEN | {"queries": queries})
    wanted = [Wanted(query, {}, 60.0) for query in cache.queries.values()]
    done = {names[row["name"]]: row for row in keep(fresh.client, fresh.settings, cache, wanted)}
    assert {name for name, row in done.items() if row["state"] == "failed"} == set(_NEVER_KEPT)
    for query, name in names.items():
        if name in _NEVER_KEPT:
            assert "type" in done[name]["detail"], name
        else:
            stored_one = fresh.client.query(f"select * from treehouse_results.{query}")
            right = fresh.client.query(cache.queries[query].sql)
            assert stored_one.result_rows == right.result_rows, name
            assert stored_one.column_names == right.column_names
    drop_views(fresh.client, cache)


def _admin(engine: Engine) -> Client:
    """Who may more than any command of Treehouse's needs, where there is one."""
    return getattr(engine, "admin", None) or engine.client


def test_what_is_too_large_or_too_slow_is_not_kept(shop: Engine, cache: ResultCache) -> None:
    small = replace(cache, most_bytes=1)
    assert "LIMIT" in _keep(shop, small, _JP)["detail"].upper()
    assert _read(shop.client, _JP) == [("JP", 3, None)]
    slow = replace(
        cache.queries["by_country"],
        sql=f"select sum(sleepEachRow(1)) as n from {SHOP}.orders", parameters={},
    )  # fmt: skip
    hasty = replace(cache, most_seconds=0.5, queries={"by_country": slow})
    assert "TIMEOUT" in _keep(shop, hasty, {})["detail"].upper()


def test_an_answer_lives_on_until_its_tables_are_written(shop: Engine, cache: ResultCache) -> None:
    _keep(shop, cache, _JP)
    before = _ends(shop)
    _admin(shop).command(f"optimize table {SHOP}.orders final")  # a merge writes nothing new
    assert upkeep(shop.client, shop.settings, cache) == 1
    after = _ends(shop)
    assert after > before
    assert _read(shop.client, _JP) == [("JP", 3, None)]
    _insert(shop.client)
    assert upkeep(shop.client, shop.settings, cache) == 0
    assert _ends(shop) == after


@pytest.mark.parametrize(
    "change",
    [
        "alter table {t} drop partition 202606",
        "alter table {t} update note = 'x' where 1 settings mutations_sync = 2",
        "delete from {t} where 1",
        "truncate table {t}",
    ],
)
def test_whatever_changes_a_table_ends_the_renewal(
    shop: Engine, cache: ResultCache, change: str
) -> None:
    before = versions(shop.client, cache)
    assert set(before) == {"by_country", "everything"}  # a dictionary may change by itself
    shop.client.command(change.format(t=f"{SHOP}.orders"))
    after = versions(shop.client, cache)
    assert set(after) == set(before)
    assert not set(after.items()) & set(before.items())


def test_what_is_taken_back_is_not_renewed(shop: Engine, cache: ResultCache) -> None:
    _keep(shop, cache, _JP)
    assert clear(shop.client, cache) == ["by_country"]
    assert upkeep(shop.client, shop.settings, cache) == 0
    _insert(shop.client)
    assert _read(shop.client, _JP) == [("JP", 4, None)]


def test_no_answer_is_renewed_for_ever(shop: Engine, cache: ResultCache) -> None:
    _keep(shop, cache, _JP)
    assert upkeep(shop.client, shop.settings, replace(cache, horizon_seconds=0.001)) == 0


def test_ended_answers_and_tables_of_other_texts_are_dropped(
    shop: Engine, cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keep(shop, cache, _JP, seconds=0.001)
    _keep(shop, cache, _ALL)
    monkeypatch.setattr("treehouse.platform.result_cache.views._GRACE_MINUTES", -1)  # all is old
    tables = answer_tables(shop.client, cache)[0]
    assert clean(shop.client, cache, tables) == 1
    assert _read(shop.client, _ALL) == [("JP", 3, None)]
    other = replace(cache.queries["by_country"], sql=_SQL.replace("desc", "asc"))
    changed = replace(cache, queries={"by_country": other})
    _keep(shop, changed, _ALL)
    upkeep(shop.client, shop.settings, changed)
    assert len(views_there(shop.client, changed)) == 3  # two views and one table
    assert "`treehouse_results`.`by_country`" in drop_views(shop.client, changed)
    assert views_there(shop.client, changed) == []


def test_without_room_the_least_worth_is_taken_back(shop: Engine, cache: ResultCache) -> None:
    _keep(shop, cache, _ALL)
    large = f"select toString(number) as text from numbers(10000) as n, {SHOP}.orders as o"
    query = replace(cache.queries["everything"], name="large", sql=large)
    both = replace(cache, queries={**cache.queries, "large": query}, capacity_bytes=20_000)
    done = keep(shop.client, shop.settings, both, [Wanted(query, {}, 300.0)])
    assert (done[0]["state"], done[0]["detail"]) == ("stored", "")
    assert stored(shop.client, both) == ["by_country", "large"]
    upkeep(shop.client, shop.settings, both)
    assert stored(shop.client, both) == ["by_country"]
    rows = shop.client.query("select count() from treehouse_results.large").result_rows
    assert rows == [(30_000,)]


@pytest.mark.slow
def test_reads_go_on_while_the_store_is_looked_after(shop: Engine, cache: ResultCache) -> None:
    _keep(shop, cache, _JP)
    read: list[Any] = []
    stopped = threading.Event()

    def ask() -> None:
        own = connect(shop.settings)
        while not stopped.is_set():
            try:
                read.append(_read(own, _JP))
            except ClickHouseError as error:
                read.append(str(error))
        own.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        upkeep(shop.client, shop.settings, cache)
    stopped.set()
    for thread in threads:
        thread.join()
    assert read
    assert all(answer == [("JP", 3, None)] for answer in some(read)), read


def test_a_collection_knows_what_was_read_from_the_store(shop: Engine, cache: ResultCache) -> None:
    raw = shop.settings.raw_database
    others = (
        f"select count() from {raw}.engine_queries where has(tables, '{SHOP}.orders') "
        "and kind = 'Select' and dashboard = ''"
    )
    collect(shop.client, shop.settings)
    before = shop.client.query(others).result_rows
    result_id = _keep(shop, cache, _JP)["result_id"]
    for arguments in (_JP, _ALL):
        _read(shop.client, arguments, json.dumps({"dashboard": "sales", "panel": "by_country"}))
    collect(shop.client, shop.settings)
    rows = shop.client.query(
        "select result_id, tables, databases, notEmpty(partitions) from "
        f"{raw}.engine_queries where dashboard = 'sales' order by result_id"
    ).result_rows
    assert rows == [
        (0, [f"{SHOP}.orders"], [SHOP], True), (result_id, [f"{SHOP}.orders"], [SHOP], False)
    ]  # fmt: skip
    # What filled the store was nobody's question.
    assert shop.client.query(others).result_rows == before


def _as(server: RunningServer, name: str) -> Client:
    parts = urlsplit(server.url)
    return clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, username=name, password=READER_PASSWORD
    )


def test_an_answer_is_of_who_reads_it(
    shop: Engine, cache: ResultCache, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shop.target == "embedded" or not server.admin:
        pytest.skip("needs a server of our own, with other users")
    for name in ("BOARD", "OUTSIDER"):
        monkeypatch.setenv(f"CLICKHOUSE_PASSWORD_{name}", READER_PASSWORD)
    board, outsider = _as(server, "board"), _as(server, "outsider")
    assert _keep(shop, cache, _JP)["state"] == "stored"
    query = replace(cache.queries["by_country"], user="board")
    own = replace(cache, queries={"by_country": query})
    assert _keep(shop, own, _ALL)["state"] == "stored"
    _insert(shop.client)
    assert _read(board, _ALL) == [("JP", 3, None)]
    assert _read(shop.client, _ALL) == [("JP", 4, None)]  # the owner runs the query
    with pytest.raises(ClickHouseError, match="privileges"):
        _read(outsider, _ALL)
    owners = answer_tables(shop.client, cache)[0]["by_country"].path
    secrets = "treehouse_results.argument_secrets"
    for table in ("treehouse_results.results", "treehouse_results.live", secrets, owners):
        with pytest.raises(ClickHouseError, match="privileges"):
            board.query(f"select * from {table}")
    for user in ("outsider", "nobody"):
        other = replace(own, queries={"by_country": replace(query, user=user)})
        failed = _keep(shop, other, _ALL)
        assert failed["state"] == "failed"
        assert "privileges" in failed["detail"] or "nobody" in failed["detail"]
    written = shop.client.query(
        "select user, query_kind from system.query_log where log_comment like '%treehouse%cache%' "
        "and user = 'board'"
    )
    assert {kind for _, kind in written.result_rows} <= {"Select"}
    for client in (board, outsider):
        client.close()


def test_the_log_quotes_no_query(shop: Engine) -> None:
    """Whoever reads the log reads no constant of others; who runs it is told the whole."""
    given = _GIVEN | {
        "queries": {
            "failing": {"sql": f"select throwIf(toYear(at) = 2026, 'PLANT3D') from {SHOP}.orders"},
            "unreadable": {"sql": f"select unknown + 'PLANT3D' from {SHOP}.orders"},
        }
    }
    cache = ResultCache.configured(given)
    wanted = [Wanted(query, {}, 60.0) for query in cache.queries.values()]
    told = keep(shop.client, shop.settings, cache, wanted)
    assert all("PLANT3D" in row["detail"] for row in some(told))
    logged = shop.client.query(
        "select name, detail from treehouse_results.results where state = 'failed' order by name"
    ).result_rows
    assert logged == [
        ("failing", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO (code 395)"),
        ("unreadable", "UNKNOWN_IDENTIFIER (code 47)"),
    ]


def test_a_user_of_the_owners_name_shares_nothing_with_the_owner(cache: ResultCache) -> None:
    query = cache.queries["everything"]
    users = ("", "own", "own_", "own__", "board", "owner")
    databases = [cache.answers_of(replace(query, user=user)) for user in users]
    assert len(set(databases)) == len(users)
    assert (databases[0], databases[4]) == ("treehouse_results_own", "treehouse_results_board")


def test_arguments_are_hashed_with_the_key_of_who_reads(shop: Engine, cache: ResultCache) -> None:
    """Nobody who sees the log can try values out, nor one reader those of another."""
    assert _keep(shop, cache, _JP)["state"] == "stored"
    (row,) = shop.client.query("select arguments from treehouse_results.results").result_rows
    values = "tuple(toDateTime('2026-06-01 00:00:00', 'UTC'), 'JP', toUInt8(5))"
    tried = shop.client.query(
        f"select cityHash64({values}), sipHash64({values}), "
        f"sipHash64Keyed((toUInt64(0), toUInt64(0)), {values})"
    ).result_rows[0]
    assert row[0] not in (0, *tried)
    hashes, query = argument_hash(shop.client, cache), cache.queries["by_country"]
    assert hashes.secret
    assert len({hashes.sql(replace(query, user=user)) for user in ("", "ada", "bob")}) == 3
    again = argument_hash(shop.client, cache)
    ensure_secret(shop.client, cache.database)
    assert again == hashes == argument_hash(shop.client, cache)
