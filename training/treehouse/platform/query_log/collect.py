"""One collection: what the engine's logs hold that our tables do not.

It may run at any time and as often as one likes: what is there already is left out by its identity,
so neither a crash nor a log that was rotated or truncated counts anything twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import run_ddl
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.turns import alone
from treehouse.ingest.layout import Progress
from treehouse.ingest.sources import STATE, read_sources
from treehouse.platform.query_log import (
    call_statements,
    part_statements,
)
from treehouse.platform.query_log import (
    query_statements as statements,
)
from treehouse.platform.query_log.calls import calls_of
from treehouse.platform.query_log.files import header, opened
from treehouse.platform.query_log.logs import PART_LOG, PARTS, QUERY_LOG, Logs, completed
from treehouse.platform.query_log.shapes import describe
from treehouse.platform.query_log.views import Knowledge
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT, Settings, project_vars

CONTRACTS = ROOT / "models" / "staging" / "engine" / "engine.yml"
OWN = '"treehouse": "'  # in the log_comment of our own queries, which are left out
UNLOGGED = {"log_queries": 0}  # for statements that hold values of somebody's query
_BATCH = 2_000  # shapes parsed at a time: their texts are in memory
_CALLS = 200  # at a time: the statement that keeps them must be no longer than max_query_size
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPORTED = {"is_initial_query": "1", "type": "'QueryFinish'", "query_kind": "'Select'"}


@dataclass(frozen=True)
class Collected:
    """What a collection brought.

    Attributes:
        queries: New rows of engine_queries.
        shapes: New shapes, of which `unparsed` could not be parsed and are kept by their hash.
        part_events: New rows of engine_part_events.
        partitions: Partitions that changed since they were last seen.
        absent: Logs that the engine does not have.
        gap_seconds: Longest time of which a rotated log may have lost something, over all nodes.
    """

    queries: int = 0
    shapes: int = 0
    unparsed: int = 0
    part_events: int = 0
    partitions: int = 0
    absent: tuple[str, ...] = ()
    gap_seconds: float = 0.0


def ensure_engine_tables(client: Client, settings: Settings) -> None:
    """Create the tables of engine.yml, where missing, and the secret of their hashes."""
    sources = read_sources(settings, CONTRACTS).values()
    tables = [source.ddl() | {"grows": True} for source in sources]
    raw = identifier(settings.raw_database)
    run_ddl(client, STATE, "source_ddl", raw, tables)
    if not client.query(f"select count() from {raw}.engine_keys").result_rows[0][0]:
        key = [datetime.now(UTC), (secrets.randbits(64), secrets.randbits(64))]
        client.insert("engine_keys", [key], database=settings.raw_database)


def collect(
    client: Client,
    settings: Settings,
    *,
    logs: Logs | None = None,
    file: Path | None = None,
    progress: Progress = lambda *_: None,
) -> Collected:
    """Take over what is new in the engine's logs, or in an exported query_log.

    Args:
        client: Of the target.
        settings: Whose raw database takes it.
        logs: Where the logs are; by default `Logs.of(settings)`.
        file: An export of system.query_log to read instead: CSV or Parquet, any of its columns.
        progress: Told the phases.

    Raises:
        TreehouseError: Another collection runs, or the file lacks query or event_time.
    """
    with left_out(client, "collect"), alone(client, settings, f"collect {settings.raw_database}"):
        ensure_engine_tables(client, settings)
        run = _Run(client, settings, progress, _now(client, settings))
        return run.exported(file) if file else run.all_of(logs or Logs.of(settings))


def _now(client: Client, settings: Settings) -> datetime:
    """When this collection is: after all others, whatever the clock says."""
    raw = identifier(settings.raw_database)
    return max(
        next_time(client, f"{raw}.engine_collections", "collected_at"),
        next_time(client, f"{raw}.engine_partitions", "seen_at"),
    )


@contextmanager
def left_out(client: Client, purpose: str) -> Iterator[None]:
    """Queries of our own, which no collection takes for somebody's."""
    before = client.get_client_setting("log_comment") or ""
    client.set_client_setting("log_comment", f'{{{OWN}{purpose}"}}')
    try:
        yield
    finally:
        client.set_client_setting("log_comment", before)


@dataclass(frozen=True)
class _Run:
    client: Client
    settings: Settings
    progress: Progress
    at: datetime

    @property
    def raw(self) -> str:
        return identifier(self.settings.raw_database)

    def all_of(self, logs: Logs) -> Collected:
        logs.flush(self.client)
        query_log = logs.relation(self.client, "query_log", QUERY_LOG)
        part_log = logs.relation(self.client, "part_log", PART_LOG)
        brought: dict[str, Any] = {}
        if query_log:
            brought |= self.queries(query_log, "query_log")
        if part_log:
            brought["part_events"] = self.part_events(part_log)
        if parts := logs.relation(self.client, "parts", PARTS):
            self.progress("partitions", None, None)
            self.write(part_statements.insert_partitions(self.raw, parts))
            brought["partitions"] = self.count("engine_partitions", "seen_at")
        found = {"query_log": query_log, "part_log": part_log}
        absent = tuple(log for log, relation in found.items() if not relation)
        return Collected(**brought, absent=absent, gap_seconds=self.gap())

    def exported(self, path: Path) -> Collected:
        there = set(header(path))
        if "query" not in there or there.isdisjoint({"event_time", "event_time_microseconds"}):
            raise TreehouseError(
                "The file is no export of system.query_log.",
                value=f"{path} with the columns {', '.join(sorted(there))}",
                expected="at least the columns query and event_time",
            )
        # A Parquet file's lists are not in its header; whatever it lacks is empty.
        columns = {
            name: kind for name, kind in QUERY_LOG.items() if name not in _EXPORTED or name in there
        }
        with opened(self.client, self.settings, path, columns) as file:
            origin = completed(file, columns, QUERY_LOG, _EXPORTED)
            # A name of its own, so that a file is read from its start.
            brought: dict[str, Any] = self.queries(origin, f"{path.name} {self.at.isoformat()}")
            return Collected(**brought)

    def queries(self, origin: str, log: str) -> dict[str, Any]:
        since = self.since(origin, log)
        shapes, unparsed = self.shapes(origin, since)
        self.calls(origin, since)
        self.progress("queries", None, None)
        self.write(statements.insert_queries(self.raw, origin), since=since)
        rows = self.mark(origin, "engine_queries", log)
        return {"queries": rows, "shapes": shapes, "unparsed": unparsed}

    def part_events(self, origin: str) -> int:
        self.progress("part events", None, None)
        since = self.since(origin, "part_log")
        self.write(part_statements.insert_part_events(self.raw, origin), since=since)
        return self.mark(origin, "engine_part_events", "part_log")

    def shapes(self, origin: str, since: datetime) -> tuple[int, int]:
        """Parse each shape once, from a query that has it, whose text is not kept."""
        words = {name for (name,) in self.read("select name from system.functions")}
        knowledge = Knowledge.of(self.client, project_vars()["result_cache"]["database"])
        statement = statements.new_shapes(self.raw, origin, _BATCH)
        found = unparsed = 0
        while rows := self.read(statement, since=since):
            described = [_describe(row, words, knowledge, self.at) for row in rows]
            self.client.insert(
                "engine_query_shapes",
                [list(row.values()) for row in described],
                list(described[0]),
                database=self.settings.raw_database,
            )
            found += len(described)
            unparsed += sum(not row["is_parsed"] for row in described)
            self.progress("shapes", found, None)
        return found, unparsed

    def calls(self, origin: str, since: datetime) -> None:
        """Parse each call of a named query once; its arguments are kept as keyed hashes.

        What these statements hold of them is not logged.
        """
        database = project_vars()["result_cache"]["database"]
        statement = call_statements.new_calls(self.raw, origin, _CALLS)
        while rows := self.read(statement, since=since):
            calls = ((key, calls_of(text, database)) for key, text in rows)
            parsed = ", ".join(call_statements.call_rows(key, found) for key, found in calls)
            self.write(call_statements.insert_calls(self.raw, parsed), settings=UNLOGGED)

    def since(self, origin: str, log: str) -> datetime:
        """From when on a log is read: the node that is furthest behind says it."""
        hosts = self.read(statements.hosts(self.raw, origin), log=log)
        oldest: datetime = min((row[1].replace(tzinfo=UTC) for row in hosts), default=_EPOCH)
        return max(_EPOCH, oldest - timedelta(seconds=statements.OVERLAP_SECONDS))

    def mark(self, origin: str, target: str, log: str) -> int:
        """Move the watermark behind what is now in `target`; returns how many rows are new."""
        self.write(statements.insert_watermarks(self.raw, origin, target), log=log)
        return self.count(target, "collected_at")

    def count(self, target: str, column: str) -> int:
        rows = self.read(
            f"select count() from {self.raw}.{target} where {column} = {statements.AT}"
        )
        return int(rows[0][0])

    def gap(self) -> float:
        collections = f"{self.raw}.engine_collections"
        rows = self.read(
            f"select max(gap_seconds) from {collections} where collected_at = {statements.AT}"
        )
        return float(rows[0][0])

    def read(self, statement: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        named = self.parameters(statement, parameters)
        return self.client.query(statement, parameters=named).result_rows

    def write(
        self, statement: str, settings: dict[str, Any] | None = None, **parameters: Any
    ) -> None:
        named = self.parameters(statement, parameters)
        self.client.command(statement, parameters=named, settings=settings)

    def parameters(self, statement: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a statement may name; only what it does name is sent."""
        store = project_vars()["result_cache"]["database"]
        registry = self.settings.registry_database
        known = {"at": self.at, "own": OWN, "store": store, "registry": registry, "since": _EPOCH}
        values: dict[str, Any] = known | given
        texts = {k: _text(v) if isinstance(v, datetime) else v for k, v in values.items()}
        return {name: text for name, text in texts.items() if f"{{{name}:" in statement}


def _describe(
    row: Sequence[Any], words: set[str], knowledge: Knowledge, at: datetime
) -> dict[str, Any]:
    """A row of engine_query_shapes, from one of statements.new_shapes()."""
    shape, text, tables, columns = row
    names = words.union(*(name.split(".") for name in (*tables, *columns)))
    known = {"shape": shape, "first_seen_at": at, "tables": tables, "columns": columns}
    own = [name.rpartition(".")[2] for name in columns]
    found = describe(text, names, knowledge.functions, own, knowledge.steady_views)
    moves = not knowledge.moving_views.isdisjoint(tables)
    return known | asdict(replace(found, is_deterministic=found.is_deterministic and not moves))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
