"""Raw rows that arrive in stages, so that a build can be compared with one that knows more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.support.cleaning import forget_queries, treehouse_databases
from tests.support.house import USERS
from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.sources import Source, read_sources
from treehouse.platform.query_log.collect import CONTRACTS as ENGINE
from treehouse.platform.query_log.collect import ensure_engine_tables
from treehouse.project.contract import Contract
from treehouse.project.settings import Settings
from treehouse.simulation.demo_data import fill_sources
from treehouse.simulation.shop.shop import DATABASE as SHOP
from treehouse.spec import Spec

STAGES = 3
_KEPT = "treehouse_stages"


@dataclass(frozen=True)
class Pool:
    """Everything that one demo loads, and two moments to stop at.

    The first is the midnight at which a month begins, where there are many; the second is a noon,
    at which the day is known in part.
    """

    settings: Settings
    sources: tuple[Source, ...]
    cuts: tuple[datetime, datetime]

    def move(self, client: Client, raw: Settings, since: str | None, before: str | None) -> None:
        """Copy the rows of a span of time to the sources."""
        for source in self.sources:
            time = identifier(source.time)
            span = [f"{time} >= {since}"] if since else []
            span += [f"{time} < {before}"] if before else []
            columns = ", ".join(identifier(column.name) for column in source.columns)
            client.command(
                f"insert into {_table(raw, source)} ({columns}) select {columns} "
                f"from {_table(self.settings, source)} where {' and '.join(span) or 'true'}"
            )


def make_pool(client: Client, settings: Settings, spec: Spec) -> Pool:
    """What a use case's demo loads, in a database named after it: many have the same one."""
    own = replace(settings, raw_database=f"treehouse_pool_{spec.demo}")
    if own.raw_database not in treehouse_databases(client):
        forget_queries(client)  # of other tests, at other times
        fill_sources(client, own, spec, {"users": USERS}, lambda *_: None)
        _as_it_happened(client, own)
    ranges = {source: _range(client, own, source) for source in _all_sources(own)}
    filled = {source: span for source, span in ranges.items() if span}
    first, last = min(s[0] for s in filled.values()), max(s[1] for s in filled.values())
    return Pool(own, tuple(filled), _cuts(first, last))


def _all_sources(settings: Settings) -> list[Source]:
    """What is loaded, and what is collected of the engine's own work as it goes on."""
    logs = read_sources(settings, ENGINE)
    names = ("engine_queries", "engine_part_events", "engine_query_shapes")
    return [*read_sources(settings).values(), *(logs[name] for name in names)]


def _as_it_happened(client: Client, settings: Settings) -> None:
    """Give the logs of a workload the times that it simulates, and leave out all other queries."""
    logs = {source.name: source for source in read_sources(settings, ENGINE).values()}
    queries = logs["engine_queries"].qualified
    if _range(client, settings, logs["engine_queries"]) is None:
        return
    keys = {
        "engine_query_shapes": "shape", "engine_part_events": "query_key",
        "engine_queries": "log_id",
    }  # fmt: skip
    for name, key in keys.items():  # the queries last: the others are told by them
        source = logs[name]
        then = replace(source, table=f"{name}_then").qualified
        happened = (
            f"(select {key}, min(event_at) as happened_at from {queries} "
            f"where kind in ('Select', 'Insert') and has(databases, '{SHOP}') group by {key})"
        )
        client.command(f"create table {then} as {source.qualified}")
        client.command(
            f"insert into {then} select log.* replace (happened_at as {source.time}) "
            f"from {source.qualified} as log inner join {happened} as happened using ({key})"
        )
        client.command(f"exchange tables {source.qualified} and {then}")
        client.command(f"drop table {then}")


def _cuts(first: datetime, last: datetime) -> tuple[datetime, datetime]:
    days = [
        (first + (last - first) * share).replace(hour=0, minute=0, second=0, microsecond=0)
        for share in (0.65, 0.85)
    ]
    if last - first < timedelta(days=120):
        return days[0], days[1] + timedelta(hours=12)
    months = [day.replace(day=1) for day in days]
    return months[0], months[1] + timedelta(days=9, hours=12)


def _range(client: Client, settings: Settings, source: Source) -> Any:
    rows = client.query(
        "select count() from system.tables where database = {d:String} and name = {t:String}",
        parameters={"d": settings.raw_database, "t": source.table},
    ).result_rows
    if not rows[0][0]:
        return None
    time = identifier(source.time)
    count, first, last = client.query(
        f"select count(), min({time}), max({time}) from {_table(settings, source)}"
    ).result_rows[0]
    return (first, last) if count else None


def run_stages(
    client: Client, settings: Settings, pool: Pool, build: Callable[[int], None]
) -> None:
    """Let the rows arrive up to each cut and then the rest, with `build(stage)` after each."""
    moments = [None, *map(_moment, pool.cuts), None]
    for stage in range(STAGES):
        since, before = moments[stage], moments[stage + 1]
        if since:
            _echo(client, settings, pool, since)
        pool.move(client, settings, since, before)
        build(stage)


def _echo(client: Client, settings: Settings, pool: Pool, moment: str) -> None:
    """For everybody seen before, one more row a second after the moment, with other numbers.

    A source that has one row for each of them, as installs, has none to come.
    """
    for source in pool.sources:
        who = source.order_by[0]
        if who == source.id:
            continue
        who = source.id if who == source.time else who
        named = ", ".join(identifier(column.name) for column in source.columns)
        changed = []
        for column in source.columns:
            name = identifier(column.name)
            if column.name == source.id and column.type == "String":
                changed.append(f"concat({name}, {literal('-echo-')}, toString({moment}))")
            elif column.type.startswith("DateTime"):
                changed.append(f"{moment} + interval 1 second")
            elif column.type == "UInt64" and column.name.endswith(("_id", "_key")):
                changed.append(f"cityHash64({name}, {moment})")  # alike in all sources
            elif column.name.endswith("_code"):  # or what went well would have failed
                changed.append(name)
            elif column.type.startswith(("Int", "UInt", "Float", "Decimal")):
                changed.append(f"cast({name} * 7 + 3, {literal(column.type)})")
            else:
                changed.append(name)
        client.command(
            f"insert into {_table(settings, source)} ({named}) select {', '.join(changed)} from ("
            f"select * from {_table(settings, source)} where {identifier(source.time)} < {moment} "
            f"order by {identifier(source.time)} desc limit 1 by {identifier(who)})"
        )


def empty_sources(client: Client, settings: Settings) -> None:
    """Take all rows out of the sources."""
    ensure_engine_tables(client, settings)
    for source in _all_sources(settings):
        client.command(f"truncate table {_table(settings, source)}")


def keep(client: Client, settings: Settings, name: str, table: str) -> None:
    """Keep a table of the models under another name."""
    client.command(f"create database if not exists {_KEPT} engine = Atomic")
    client.command(
        f"create table {_KEPT}.{identifier(name)} engine = MergeTree order by tuple() "
        f"as select * from {identifier(settings.database)}.{identifier(table)}"
    )


def changed_columns(
    client: Client, contract: Contract, columns: Sequence[str], names: tuple[str, str]
) -> tuple[dict[str, int], float]:
    """How two kept tables differ where their keys and times are equal.

    Returns:
        Rows that differ, by column; and the share of the first table's rows that were compared.
    """
    on = ", ".join(map(identifier, (*contract.keys, contract.time)))
    differing = [
        f"countIf(ifNull(toString(a.{name}), '-') != ifNull(toString(b.{name}), '-'))"
        for name in map(identifier, columns)
    ]
    before, after = (f"{_KEPT}.{identifier(name)}" for name in names)
    compared, *counts = client.query(
        f"select count(), {', '.join(differing)} from {before} as a "
        f"inner join {after} as b using ({on})"
    ).result_rows[0]
    total = client.query(f"select count() from {before}").result_rows[0][0]
    found = {column: count for column, count in zip(columns, counts, strict=True) if count}
    return found, compared / total if total else 0.0


def _moment(at: datetime) -> str:
    return f"toDateTime64('{at:%Y-%m-%d %H:%M:%S}', 3, 'UTC')"


def _table(settings: Settings, source: Source) -> str:
    return f"{identifier(settings.raw_database)}.{identifier(source.table)}"
