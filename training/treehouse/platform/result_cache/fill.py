"""Fills the result store, and takes it back. Its SQL is in macros/state/result_cache.sql."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import connect_reader, identifier, literal
from treehouse.clickhouse.ddl import is_there, render
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.turns import alone
from treehouse.platform.query_log.collect import ensure_engine_tables
from treehouse.platform.result_cache.analysis import analyse
from treehouse.platform.result_cache.arguments import ArgumentHash, argument_hash
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.platform.result_cache.keep import Wanted, keep
from treehouse.platform.result_cache.table_versions import renew
from treehouse.platform.result_cache.views import (
    STORE,
    AnswerTable,
    answer_tables,
    clean,
    open_store,
    read_anew,
)
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError, first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_MOST_ARGUMENTS = 1000  # of one query
_PATIENCE_SECONDS = 60.0  # a fill and a prefetch both keep the store up


@dataclass(frozen=True)
class Entry:
    """A named query with arguments, and what cache_decision() says of it.

    Attributes:
        query: The query.
        arguments: Values of its parameters, as text.
        admit: Whether it is worth keeping.
        ttl_seconds: For how long; never longer than the owner allows.
        why: In words, if it is not admitted.
        fresh_seconds: For how long a stored answer will still be read; 0 if there is none.
    """

    query: NamedQuery
    arguments: Mapping[str, str]
    admit: bool
    ttl_seconds: float
    why: str
    fresh_seconds: float


def make_plan(client: Client, settings: Settings, cache: ResultCache) -> tuple[Entry, ...]:
    """Every named query by the decisions on what its dashboard and panel asked."""
    decided = _decisions(client, settings)
    fresh = fresh_seconds(client, cache, answer_tables(client, cache)[0])
    analyses = analyse(client, cache)
    hashes, entries = argument_hash(client, cache), []
    for query in cache.queries.values():
        if refusal := analyses[query.name].refusal:
            entries.append(Entry(query, {}, False, 0.0, refusal, 0.0))
            continue
        decision = decided.get((query.dashboard, query.panel))
        try:
            found = _arguments(settings, query, hashes)
        except (ClickHouseError, TreehouseError) as error:
            entries.append(Entry(query, {}, False, 0.0, first_line(error), 0.0))
            continue
        for arguments, key in found:
            remaining = fresh.get((query.name, query.user, key), 0.0)
            entries.append(_entry(query, arguments, decision, remaining))
    return tuple(entries)


def _arguments(
    settings: Settings, query: NamedQuery, hashes: ArgumentHash
) -> list[tuple[dict[str, str], int]]:
    """Those to keep ahead, each with its hash."""
    if not query.parameters:
        return [({}, 0)]
    if not query.arguments:
        return []
    texts = ", ".join(
        f"toString({identifier(name)}) as {identifier(name)}" for name in query.parameters
    )
    key = hashes.sql(query, lambda name, kind: f"cast({identifier(name)}, {literal(kind)})")
    reader = connect_reader(settings, query.user)
    try:
        rows = reader.query(
            f"select *, {key} from (select {texts} from (\n{query.arguments}\n)) "
            f"limit {_MOST_ARGUMENTS}"
        ).result_rows
    finally:
        reader.close()
    return [(dict(zip(query.parameters, row, strict=False)), int(row[-1])) for row in rows]


def fresh_seconds(
    client: Client, cache: ResultCache, tables: Mapping[str, AnswerTable]
) -> dict[tuple[str, str, int], float]:
    """For how long each stored answer will be read, by name, user ("": the owner) and arguments."""
    if not is_there(client, cache.database, "live"):
        return {}
    rows = client.query(
        "select query_hash, if(user = currentUser(), '', user), arguments, "
        "dateDiff('millisecond', now64(6), expires_at) / 1000 "
        f"from {identifier(cache.database)}.live"
    ).result_rows
    queries = {answers.name: answers.query for answers in tables.values()}
    return {
        (queries[text].name, user or queries[text].user, key): max(0.0, seconds)
        for text, user, key, seconds in rows
        if text in queries
    }


def _entry(
    query: NamedQuery,
    arguments: Mapping[str, str],
    decision: tuple[bool, int, int] | None,
    fresh: float,
) -> Entry:
    if decision is None:
        return Entry(
            query, arguments, False, 0.0, "its dashboard and panel were not asked for", fresh
        )
    admit, ttl, version = decision
    seconds = min(float(ttl), query.allowed_seconds)
    if not version:
        return Entry(
            query, arguments, False, 0.0, "no version of cache_admission is promoted", fresh
        )
    why = "" if admit and seconds > 0 else "would not save what storing costs"
    return Entry(query, arguments, not why, seconds if not why else 0.0, why, fresh)


def _decisions(client: Client, settings: Settings) -> dict[tuple[str, str], tuple[bool, int, int]]:
    """(admit, ttl_seconds, version) by dashboard and panel; none before the models are built."""
    database = settings.database
    if not is_there(client, database, "cache_admission_panels"):
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
    progress: Report = lambda *_: None,
) -> list[dict[str, Any]]:
    """One pass: renew what is still as its tables are, store what is admitted, drop what has ended.

    An answer that is in the first half of its time is left as it is.

    Returns:
        For each that was stored or could not be, as `keep`.
    """
    with alone(client, settings, f"fill {cache.database}"):
        upkeep(client, settings, cache)
        due = [
            Wanted(entry.query, entry.arguments, entry.ttl_seconds)
            for entry in make_plan(client, settings, cache)
            if entry.admit and entry.fresh_seconds <= entry.ttl_seconds / 2
        ]
        return keep(client, settings, cache, due, progress=progress)


def upkeep(client: Client, settings: Settings, cache: ResultCache) -> int:
    """Views as configured, longer lives for answers whose tables are unchanged, room, old ones
    dropped.

    Returns:
        How many answers were renewed.
    """
    with alone(client, settings, f"keep up {cache.database}", wait_seconds=_PATIENCE_SECONDS):
        tables, _ = open_store(client, settings, cache)
        renewed = renew(client, cache, tables)
        evict(client, settings, cache)
        read_anew(client, cache)
        clean(client, cache, tables)
        return renewed


def evict(client: Client, settings: Settings, cache: ResultCache) -> None:
    """Take back the answers that have saved the least for their bytes, where there is no room."""
    ensure_engine_tables(client, settings)
    raw, database = identifier(settings.raw_database), identifier(cache.database)
    client.command(
        render(STORE, "evict_answers", database, raw),
        parameters={
            "run": str(uuid.uuid4()),
            "capacity": cache.capacity_bytes,
        },
    )


def clear(client: Client, cache: ResultCache) -> list[str]:
    """Take back what is stored: from now on every view runs its query. Names of what was cleared.

    The views stay, since somebody may read them.
    """
    live = _live(client, cache)
    run = uuid.uuid4()
    columns = ["at", "run", "name", "query_hash", "user", "arguments", "state"]
    if live:
        at = next_time(client, f"{identifier(cache.database)}.results")
        rows = [[at, run, *key, "cleared"] for key in live]
        client.insert("results", rows, columns, database=cache.database)
        read_anew(client, cache)
    return sorted({name for name, *_ in live})


def stored(client: Client, cache: ResultCache) -> list[str]:
    """Names of what has an answer that was not cleared and has not ended."""
    return sorted({name for name, *_ in _live(client, cache)})


def _live(client: Client, cache: ResultCache) -> Sequence[tuple[str, str, str, int]]:
    if not is_there(client, cache.database, "live"):
        return []
    rows = client.query(
        "select name, query_hash, user, arguments "
        f"from {identifier(cache.database)}.live where expires_at > now64(6) order by name"
    ).result_rows
    return [(str(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in rows]


def history(client: Client, cache: ResultCache, limit: int) -> list[dict[str, Any]]:
    """The log, the newest first."""
    if not is_there(client, cache.database, "results"):
        return []
    result = client.query(
        "select at, name, user, reason, state, answer_rows, answer_bytes, computed_at, expires_at, "
        "seconds, detail "
        f"from {identifier(cache.database)}.results order by at desc limit {{n:UInt32}}",
        parameters={"n": limit},
    )
    return list(result.named_results())
