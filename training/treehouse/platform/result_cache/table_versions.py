"""What the tables under the named queries hold, as numbers; longer lives where that is unchanged.

An answer that is as its tables are now may be served for as long from now on as when it was
computed. So it is served until its tables' first write, and from then on for as long as their owner
allows, at least but for the time between two passes; and nobody who reads it pays for the check.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import render
from treehouse.platform.result_cache.analysis import Analysis, analyse
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.platform.result_cache.views import STORE, AnswerTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client


def versions(
    client: Client, cache: ResultCache, analyses: Mapping[str, Analysis] | None = None
) -> dict[str, int]:
    """By name of the query: a number that changes with its tables; none where that can't be told.

    That is so for tables that are not MergeTree, and for queries that look elsewhere, as into
    dictionaries, or change by themselves.
    """
    tables = sorted({table for query in cache.queries.values() for table in query.tables})
    rows = client.query(
        f"select table_name, version from ({render(STORE, 'table_versions')}) "
        "where table_name in {tables:Array(String)}",
        parameters={"tables": tables},
    ).result_rows
    found: dict[str, int] = {str(table): int(number) for table, number in rows}
    analyses = analyse(client, cache) if analyses is None else analyses
    return {
        name: number
        for name, query in cache.queries.items()
        if analyses[name] == Analysis() and (number := _version(query, found))
    }


def _version(query: NamedQuery, tables: Mapping[str, int]) -> int:
    if not set(tables).issuperset(query.tables):
        return 0
    text = ",".join(f"{table}={tables[table]}" for table in query.tables)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") | 1


def renew(client: Client, cache: ResultCache, tables: Mapping[str, AnswerTable]) -> int:
    """Let the answers live on that are still as their tables are; how many.

    Args:
        client: Of who owns the store.
        cache: The owner's limits.
        tables: Of the answers of each query, by its name.
    """
    checked_at = client.query("select now64(6, 'UTC')").result_rows[0][0]
    now = versions(client, cache)
    known = {tables[name].name: number for name, number in now.items() if name in tables}
    run = uuid.uuid4()
    client.command(
        render(STORE, "renew_answers", identifier(cache.database)),
        parameters={
            "checked_at": f"{checked_at:%Y-%m-%d %H:%M:%S.%f}",
            "horizon": cache.horizon_seconds,
            "run": str(run),
            "names": list(known),
            "versions": list(known.values()),
        },
    )
    rows = client.query(
        f"select count() from {identifier(cache.database)}.results where run = {{run:UUID}}",
        parameters={"run": str(run)},
    ).result_rows
    return int(rows[0][0])
