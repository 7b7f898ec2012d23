"""Collections: nothing personal is kept, nothing is counted twice, a log that ends is noticed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine
from tests.support.server import running_server
from tests.support.some import some
from tests.support.tables import write_table
from treehouse.ingest.sources import read_sources
from treehouse.platform.query_log.collect import CONTRACTS, Collected, collect
from treehouse.platform.query_log.logs import Logs
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

_LOGS = "treehouse_logs"  # a database of logs that a test may truncate and rename
_SECRETS = ("jane", "doe", "example.com", "4111111111111111", "topsecret")


def _rows(engine: Engine, table: str, where: str = "1") -> list[dict[str, Any]]:
    raw = engine.settings.raw_database
    return list(engine.client.query(f"select * from {raw}.{table} where {where}").named_results())


@pytest.fixture(scope="module")
def collected(fresh: Engine) -> Collected:
    """A table by month, and questions about it that hold what nobody may see again."""
    client = fresh.client
    client.command("create database treehouse_shop engine = Atomic")
    client.command(
        "create table treehouse_shop.orders (at Date, customer String) engine = MergeTree "
        "partition by toYYYYMM(at) order by at"
    )
    client.command(
        "insert into treehouse_shop.orders "
        "select toDate('2026-01-01') + number % 90, toString(number) from numbers(900)"
    )
    for sql in (
        "select count() from treehouse_shop.orders where customer = 'jane.doe@example.com'",
        "select at as topsecret from treehouse_shop.orders where at > '2026-02-10' /* Jane Doe */",
        "select at from treehouse_shop.orders where customer like '%Doe%' limit 1 by at limit 2",
        "select 4111111111111111 as `jane doe` from treehouse_shop.orders settings max_threads = 1",
        "select topsecret from treehouse_shop.orders where customer = 'jane.doe@example.com'",
        "select topsecret 'jane.doe@example.com' from from",
    ):
        comment = '{"dashboard": "Jane Doe\'s", "panel": "by_day", "user": "jane@example.com", '
        comment += '"session": "topsecret", "note": "doe", "at": "2026-03-01 10:00:00"}'
        with suppress(ClickHouseError):
            client.query(sql, settings={"log_comment": comment})
    return collect(client, fresh.settings)


@pytest.fixture(scope="module")
def shop(fresh: Engine, collected: Collected) -> Engine:
    """The engine after the first collection."""
    assert collected.queries
    return fresh


@pytest.fixture
def logs(engine: Engine) -> Iterator[Logs]:
    """A query log of its own, empty, without a part log."""
    client = engine.client
    client.command(f"drop database if exists {_LOGS} sync")
    client.command(f"drop database if exists {engine.settings.raw_database} sync")
    client.command(f"create database {_LOGS} engine = Atomic")
    _new_log(client)
    yield Logs(_LOGS)
    client.command(f"drop database {_LOGS} sync")


def _new_log(client: Client) -> None:
    client.command(f"""
        create table {_LOGS}.query_log (
            hostname String, type String, event_time DateTime('UTC'),
            event_time_microseconds DateTime64(6, 'UTC'), query String, query_id String,
            is_initial_query UInt8, query_kind String, log_comment String
        ) engine = MergeTree order by event_time
    """)


def _log(client: Client, second: int, count: int = 1, host: str = "a") -> None:
    """Queries that ended in that second of a minute."""
    client.command(
        f"""
        insert into {_LOGS}.query_log
        select
            '{host}', 'QueryFinish', toDateTime('2026-05-01 12:00:00', 'UTC') + {second},
            event_time, concat('select ', toString(number)), concat('{second}_', toString(number)),
            1, 'Select', ''
        from numbers({count})
    """.replace(
            "event_time, concat",
            f"toDateTime64('2026-05-01 12:00:00', 6, 'UTC') + {second}, concat",
        )
    )


def test_no_literal_comment_or_name_leaves_a_trace(shop: Engine) -> None:
    raw = shop.settings.raw_database
    for source in read_sources(shop.settings, CONTRACTS).values():
        rows = shop.client.query(
            f"select lower(toJSONString(tuple(*))) from {raw}.{source.table}"
        ).result_rows
        text = "\n".join(row[0] for row in rows)
        assert not [secret for secret in _SECRETS if secret in text], source.table


def test_queries_are_kept_with_what_they_cost_and_touched(shop: Engine) -> None:
    tagged = _rows(shop, "engine_queries", "panel = 'by_day'")
    assert {str(row["event_at"])[:16] for row in tagged} == {"2026-03-01 10:00"}
    assert all(row["dashboard"].startswith("#") for row in some(tagged))
    assert len({row["user_key"] for row in tagged}) == 1
    assert len({row["session_key"] for row in tagged}) == 1
    ranged = next(r for r in tagged if r["result_rows"] > 100)
    assert set(ranged["partitions"]) == {
        "treehouse_shop.orders.202602", "treehouse_shop.orders.202603"
    }  # fmt: skip
    assert ranged["tables"] == ["treehouse_shop.orders"]
    assert ranged["result_bytes"] > 0
    assert ranged["read_rows"] > 0
    assert {row["exception_code"] for row in tagged} >= {0, 47}


def test_a_shape_that_the_parser_refuses_is_kept_by_its_hash(
    shop: Engine, collected: Collected
) -> None:
    shapes = {row["shape"]: row for row in _rows(shop, "engine_query_shapes")}
    refused = [row for row in shapes.values() if not row["is_parsed"]]
    limit_by = [row for row in refused if "treehouse_shop.orders" in row["tables"]]
    assert len(limit_by) == 1
    assert limit_by[0]["text"] == ""
    assert collected.unparsed == len(refused)
    counted = next(r for r in shapes.values() if r["text"].startswith("select count ( ) from"))
    assert counted["text"] == ("select count ( ) from treehouse_shop . orders where customer = ?")
    assert counted["columns"] == ["treehouse_shop.orders.customer"]


def test_parts_and_who_wrote_them(shop: Engine) -> None:
    events = _rows(shop, "engine_part_events", "table = 'orders' and event = 'NewPart'")
    assert {row["partition_id"] for row in events} == {"202601", "202602", "202603"}
    assert sum(row["row_count"] for row in events) == 900
    (insert,) = _rows(shop, "engine_queries", "kind = 'Insert' and written_rows = 900")
    assert {row["query_key"] for row in events} == {insert["query_key"]}
    states = _rows(shop, "engine_partitions", "table = 'orders'")
    assert sum(row["row_count"] for row in states) == 900


def test_a_partition_is_written_down_when_it_changes_or_goes(shop: Engine) -> None:
    client = shop.client
    assert collect(client, shop.settings).partitions == 0
    client.command("alter table treehouse_shop.orders drop partition 202601")
    assert collect(client, shop.settings).partitions == 1
    last = _rows(shop, "engine_partitions", "partition_id = '202601' order by seen_at")[-1]
    assert (last["parts"], last["row_count"]) == (0, 0)
    assert collect(client, shop.settings).partitions == 0


def test_a_log_is_taken_over_once_however_often_and_whatever_became_of_it(
    engine: Engine, logs: Logs
) -> None:
    client, settings = engine.client, engine.settings
    _log(client, 0, 5)
    first = collect(client, settings, logs=logs)
    assert (first.queries, first.shapes, first.absent) == (5, 1, ("part_log",))
    assert collect(client, settings, logs=logs).queries == 0
    _log(client, 10, 3)
    _log(client, 5, 2)  # flushed late
    assert collect(client, settings, logs=logs).queries == 5
    client.command(f"rename table {_LOGS}.query_log to {_LOGS}.query_log_0")  # as an upgrade does
    _new_log(client)
    _log(client, 20, 4)
    found = collect(client, settings, logs=logs)
    assert (found.queries, found.gap_seconds) == (4, 0)
    client.command(f"drop table {_LOGS}.query_log_0 sync")
    client.command(f"truncate table {_LOGS}.query_log")
    assert collect(client, settings, logs=logs).queries == 0
    _log(client, 50, 1)
    found = collect(client, settings, logs=logs)
    assert (found.queries, found.gap_seconds) == (1, 30)
    assert len(_rows(engine, "engine_queries")) == 15


def test_a_collection_that_died_before_its_watermark_is_finished_by_the_next(
    engine: Engine, logs: Logs
) -> None:
    client, settings = engine.client, engine.settings
    _log(client, 0, 5)
    collect(client, settings, logs=logs)
    client.command(f"truncate table {settings.raw_database}.engine_collections")
    _log(client, 1, 1)
    assert collect(client, settings, logs=logs).queries == 1
    assert len(_rows(engine, "engine_queries")) == 6


def test_a_node_that_is_behind_loses_nothing(engine: Engine, logs: Logs) -> None:
    client, settings = engine.client, engine.settings
    _log(client, 100_000, 1, host="ahead")
    collect(client, settings, logs=logs)
    _log(client, 0, 2, host="behind")
    assert collect(client, settings, logs=logs).queries == 2


def test_an_engine_without_logs_says_so(engine: Engine, logs: Logs) -> None:
    engine.client.command(f"drop table {_LOGS}.query_log sync")
    found = collect(engine.client, engine.settings, logs=logs)
    assert found.absent == ("query_log", "part_log")
    assert found.queries == 0


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.parquet"])
def test_an_exported_log_is_read(engine: Engine, logs: Logs, tmp_path: Path, name: str) -> None:
    del logs  # only an empty raw database
    table = pa.table({
        "event_time": ["2026-05-01 12:00:00", "2026-05-01 12:00:01"],
        "query": ["select 1 from t where x = 'jane'", "select 2 from t where x = 'doe'"],
        "query_id": ["a", "b"],
        "query_duration_ms": [10, 20],
        "user": ["jane", "doe"],
    })  # fmt: skip
    path = write_table(table, tmp_path / name)
    found = collect(engine.client, engine.settings, file=path)
    assert (found.queries, found.shapes) == (2, 1)
    rows = _rows(engine, "engine_queries", "1 order by logged_at")
    assert [row["duration_ms"] for row in rows] == [10, 20]
    assert len({row["user_key"] for row in rows}) == 2
    assert collect(engine.client, engine.settings, file=path).queries == 0


def test_a_file_that_is_no_log_is_refused(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TreehouseError, match=r"no export of system.query_log") as error:
        collect(client, settings, file=path)
    assert "a, b" in str(error.value.value)


@pytest.mark.server
@pytest.mark.slow
def test_all_nodes_of_a_cluster_are_read_and_none_twice(tmp_path: Path) -> None:
    # Two replicas that are the same node: what both say must be there once.
    extra = """<remote_servers><both><shard>
        <replica><host>127.0.0.1</host><port>{port}</port></replica>
        <replica><host>localhost</host><port>{port}</port></replica>
    </shard></both></remote_servers><tcp_port>{port}</tcp_port>"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running_server(tmp_path, extra.format(port=port), {}) as server:
        client = clickhouse_connect.get_client(dsn=server.admin_url)
        client.command("system start listen tcp")
        client.query("select 1 as one", settings={"log_comment": '{"panel": "seen"}'})
        settings = Settings(target="server", raw_database="treehouse_raw_cluster")
        found = collect(client, settings, logs=Logs(cluster="both"))
        client.command("drop database treehouse_raw_cluster")
        assert found.queries > 0
