"""Fills the result store, and takes it back. Its SQL is in macros/result_store.sql."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from training.console import Report
from training.ddl import MACROS, render, run_ddl, storage
from training.engine import identifier, literal
from training.results.config import NamedQuery, ResultCache

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings

_FILE = MACROS / "result_store.sql"
_COMMENT = "Answers of result_cache.queries, by hash "  # of the views and tables that are ours


@dataclass(frozen=True)
class Entry:
    """A named query, and what cache_decision() says of it.

    Attributes:
        query: The query.
        admit: Whether it is worth keeping.
        ttl_seconds: For how long; never longer than the owner allows.
        why: In words, if it is not admitted.
        fresh_seconds: For how long a stored answer will still be read; 0 if there is none.
    """

    query: NamedQuery
    admit: bool
    ttl_seconds: float
    why: str
    fresh_seconds: float


def make_plan(client: Client, settings: Settings, cache: ResultCache) -> tuple[Entry, ...]:
    """Every named query by the decisions on what its dashboard and panel asked."""
    ensure_store(client, settings, cache)
    decided = _decisions(client, settings)
    rows = client.query(
        "select name, query_hash, argMax(if(state = 'stored', "
        "dateDiff('millisecond', now64(6), expires_at) / 1000, 0), at) "
        f"from {identifier(cache.database)}.results "
        "where state in ('stored', 'cleared') group by name, query_hash"
    ).result_rows
    fresh = {(name, query_hash): seconds for name, query_hash, seconds in rows}
    return tuple(
        _entry(query, decided.get((query.dashboard, query.panel)),
               max(0.0, fresh.get((query.name, query.hash), 0.0)))
        for query in cache.queries.values()
    )  # fmt: skip


def _entry(query: NamedQuery, decision: tuple[bool, int, int] | None, fresh: float) -> Entry:
    if decision is None:
        return Entry(query, False, 0.0, "its dashboard and panel were not asked for", fresh)
    admit, ttl, version = decision
    seconds = min(float(ttl), query.allowed_seconds)
    if not version:
        return Entry(query, False, 0.0, "no version of cache_admission is promoted", fresh)
    why = "" if admit and seconds > 0 else "would not save what storing costs"
    return Entry(query, not why, seconds if not why else 0.0, why, fresh)


def _decisions(client: Client, settings: Settings) -> dict[tuple[str, str], tuple[bool, int, int]]:
    """(admit, ttl_seconds, version) by dashboard and panel; none before the models are built."""
    database = settings.database
    there = client.query(
        "select count() from system.tables "
        "where database = {d:String} and name = 'cache_admission_panels'",
        parameters={"d": database},
    ).result_rows[0][0]
    if not there:
        return {}
    rows = client.query(
        "select dashboard, panel, (admit, ttl_seconds, model_version) "
        f"from {identifier(database)}.cache_admission_panels"
    ).result_rows
    return {(dashboard, panel): tuple(decision) for dashboard, panel, decision in rows}


def fill(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    entries: Sequence[Entry],
    progress: Report = lambda *_: None,
) -> list[dict[str, Any]]:
    """Store the answers of what is admitted, and let each view read them.

    An answer that is in the first half of its time is left as it is.

    Returns:
        For each: name, state, answer_rows, expires_at and, if it failed, why. One that fails
        leaves the last good answer to be read until its end.
    """
    ensure_store(client, settings, cache)
    run = uuid.uuid4()
    chosen = [
        entry for entry in entries if entry.admit and entry.fresh_seconds <= entry.ttl_seconds / 2
    ]
    done = []
    for number, entry in enumerate(chosen):
        progress(entry.query.name, number, len(chosen))
        done.append(_store(client, settings, cache, entry, run))
    return done


def _store(
    client: Client, settings: Settings, cache: ResultCache, entry: Entry, run: uuid.UUID
) -> dict[str, Any]:
    query, database = entry.query, identifier(cache.database)
    table = f"{database}.{identifier(query.table)}"
    computed_at: datetime = client.query("select now64(6, 'UTC')").result_rows[0][0]
    row: dict[str, Any] = {
        "run": run, "name": query.name, "query_hash": query.hash, "state": "stored",
        "result_id": secrets.randbits(63) | 1, "computed_at": computed_at,
        "expires_at": computed_at + timedelta(seconds=entry.ttl_seconds), "answer_rows": 0,
        "seconds": 0.0, "detail": "",
    }  # fmt: skip
    try:
        run_ddl(client, _FILE, "result_table_ddl", table, query.sql, **storage(settings))
        client.command(
            f"insert into {table} select answer.*, {row['result_id']} as result_id, "
            f"{_moment(row['expires_at'])} "
            f"as expires_at from (\n{query.sql}\n) as answer"
        )
        row["answer_rows"], row["seconds"] = client.query(
            f"select count(), dateDiff('microsecond', {_moment(computed_at)}, now64(6)) / 1e6 "
            f"from {table} where result_id = {row['result_id']}"
        ).result_rows[0]
        client.command(
            f"create or replace view {database}.{identifier(query.name)}{_on_cluster(settings)} "
            f"as\n{cached_sql(cache, query)} comment {literal(_COMMENT + query.hash)}"
        )
    except ClickHouseError as error:
        detail = str(error).splitlines()[0].split(", Stack trace")[0]
        row |= {"state": "failed", "detail": detail}
    client.insert("results", [list(row.values())], list(row), database=cache.database)
    return {name: row[name] for name in ("name", "state", "answer_rows", "expires_at", "detail")}


def cached_sql(cache: ResultCache, query: NamedQuery) -> str:
    """The stored answer if it is fresh, else the query itself."""
    database = identifier(cache.database)
    return render(
        _FILE, "cached_query", database, f"{database}.{identifier(query.table)}", query.name,
        query.hash, query.sql, query.allowed_seconds,
    ).strip()  # fmt: skip


def clear(client: Client, settings: Settings, cache: ResultCache) -> list[str]:
    """Take back what is stored: from now on every view runs its query. Names of what was cleared.

    The views stay, since somebody may read them; the tables' rows end by themselves.
    """
    names = stored(client, settings, cache)
    run = uuid.uuid4()
    rows = [[run, name, query_hash, "cleared"] for name, query_hash in names]
    if rows:
        columns = ["run", "name", "query_hash", "state"]
        client.insert("results", rows, columns, database=cache.database)
    return sorted({name for name, _ in names})


def stored(client: Client, settings: Settings, cache: ResultCache) -> list[tuple[str, str]]:
    """Name and hash of what has an answer that was not cleared and has not ended."""
    ensure_store(client, settings, cache)
    rows = client.query(
        f"select name, query_hash from {identifier(cache.database)}.results "
        "where state in ('stored', 'cleared') group by name, query_hash "
        "having argMax(state = 'stored' and expires_at > now64(6), at) order by name, query_hash"
    ).result_rows
    return [(str(name), str(query_hash)) for name, query_hash in rows]


def history(
    client: Client, settings: Settings, cache: ResultCache, limit: int
) -> list[dict[str, Any]]:
    """The log, the newest first."""
    ensure_store(client, settings, cache)
    result = client.query(
        "select at, name, state, answer_rows, computed_at, expires_at, seconds, detail "
        f"from {identifier(cache.database)}.results order by at desc limit {{n:UInt32}}",
        parameters={"n": limit},
    )
    return list(result.named_results())


def ensure_store(client: Client, settings: Settings, cache: ResultCache) -> None:
    """Create the log where it is missing."""
    run_ddl(client, _FILE, "result_store_ddl", identifier(cache.database), **storage(settings))


def _moment(at: datetime) -> str:
    return f"toDateTime64({literal(f'{at:%Y-%m-%d %H:%M:%S.%f}')}, 6, 'UTC')"


def _on_cluster(settings: Settings) -> str:
    cluster = storage(settings)["cluster"]
    return f" on cluster {cluster}" if cluster else ""
