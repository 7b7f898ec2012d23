"""Runs named queries as those who read them, and keeps their answers."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import connect_reader, identifier
from treehouse.clickhouse.ordered import next_time
from treehouse.platform.query_log.collect import left_out
from treehouse.platform.result_cache.analysis import analyse
from treehouse.platform.result_cache.arguments import ArgumentHash, argument_hash
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.platform.result_cache.table_versions import versions
from treehouse.platform.result_cache.views import AnswerTable, open_store, read_anew
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError, first_line, without_text

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """An answer to keep.

    Attributes:
        query: The query.
        arguments: Values of its parameters, as text.
        ttl_seconds: For how long, from when its query begins; at most as long as is allowed.
        reason: "admitted" or "prefetched".
    """

    query: NamedQuery
    arguments: Mapping[str, str]
    ttl_seconds: float
    reason: str = "admitted"


@dataclass(frozen=True)
class _Keeper:
    """What one run of `keep` shares."""

    client: Client
    cache: ResultCache
    tables: Mapping[str, AnswerTable]
    versions: Mapping[str, int]
    hashes: ArgumentHash
    limits: Mapping[str, Any]
    run: uuid.UUID


def keep(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    wanted: Iterable[Wanted],
    limits: Mapping[str, Any] | None = None,
    progress: Report = lambda *_: None,
) -> list[dict[str, Any]]:
    """Run queries, each as its user and read-only, and let their views read the answers.

    Args:
        client: Of who owns the store.
        settings: Of the target.
        cache: The owner's limits.
        wanted: What to keep; the next is taken when the one before has been kept.
        limits: Further settings of the queries, such as max_threads.
        progress: Told each name.

    Returns:
        For each: name, reason, state, result_id, answer_rows, answer_bytes, seconds, expires_at
        and, if it failed, why in detail. One that fails leaves the last good answer to be read
        until its end.
    """
    found, failed = open_store(client, settings, cache)
    analyses = analyse(client, cache)
    refused = {name: one.refusal for name, one in analyses.items() if one.refusal}
    limits = {
        "max_execution_time": cache.most_seconds,
        "max_result_bytes": cache.most_bytes,
        "result_overflow_mode": "throw",
    } | dict(limits or {})
    found = {name: table for name, table in found.items() if name not in refused}
    failed = refused | failed
    known = versions(client, cache, analyses)
    hashes = argument_hash(client, cache)
    keeper = _Keeper(client, cache, found, known, hashes, limits, uuid.uuid4())
    done: list[dict[str, Any]] = []
    readers: dict[str, Client | str] = {}
    with ExitStack() as opened:
        for one in wanted:
            user = one.query.user
            if user not in readers:
                readers[user] = opened.enter_context(_reader(settings, user))
            progress(one.query.name, len(done), None)
            done.append(_keep(keeper, readers[user], one, failed.get(one.query.name, "")))
    return done


@contextmanager
def _reader(settings: Settings, user: str) -> Iterator[Client | str]:
    """A client of the user, or why there is none."""
    try:
        reader = connect_reader(settings, user)
    except TreehouseError as error:
        yield " ".join(str(error).split())
        return
    try:
        with left_out(reader, "cache"):
            yield reader
    finally:
        reader.close()


def _keep(keeper: _Keeper, reader: Client | str, wanted: Wanted, failed: str) -> dict[str, Any]:
    query = wanted.query
    table = keeper.tables.get(query.name)
    told = reader if isinstance(reader, str) else failed
    row: dict[str, Any] = {
        "run": keeper.run, "name": query.name, "query_hash": table.name if table else "",
        "state": "failed", "reason": wanted.reason, "result_id": secrets.randbits(63) | 1,
        "version": keeper.versions.get(query.name, 0),
    }  # fmt: skip
    if table and not isinstance(reader, str):
        try:
            row |= _answer(keeper, reader, wanted, table.path, row["result_id"])
        except ClickHouseError as error:
            told = first_line(error)
    row["detail"] = without_text(told)  # others may read the log, and the text quotes constants
    client, database = keeper.client, keeper.cache.database
    row["at"] = next_time(client, f"{identifier(database)}.results", name=query.name)
    client.insert("results", [list(row.values())], list(row), database=database)
    if row["state"] == "stored":
        read_anew(client, keeper.cache)
    shown = ("name", "reason", "state", "result_id", "answer_rows", "answer_bytes", "seconds",
             "expires_at", "detail")  # fmt: skip
    return {name: row.get(name) for name in shown} | {"detail": told}


def _answer(
    keeper: _Keeper, reader: Client, wanted: Wanted, table: str, result_id: int
) -> dict[str, Any]:
    """Store one answer; what the log says of it. It goes through this process, for the query runs
    as somebody who may write nothing."""
    query, arguments = wanted.query, dict(wanted.arguments)
    user, key, computed_at = reader.query(
        f"select currentUser(), {keeper.hashes.sql(query)}, now64(6, 'UTC')", parameters=arguments
    ).result_rows[0]
    began = time.perf_counter()
    block = reader.raw_query(
        f"select answer.*, toUInt64({result_id}) as treehouse_result, "
        "rowNumberInAllBlocks() as treehouse_row "
        f"from (\n{query.sql}\n) as answer",
        parameters=arguments, settings=dict(keeper.limits), fmt="Native",
    )  # fmt: skip
    ran = time.perf_counter()
    if block:  # empty where the answer has no row
        keeper.client.raw_insert(table, insert_block=block, fmt="Native")
    rows = keeper.client.query(
        f"select count() from {table} where treehouse_result = {result_id}"
    ).result_rows[0][0]
    return {
        "state": "stored", "user": user, "arguments": key,
        "computed_at": computed_at, "verified_at": computed_at,
        "expires_at": computed_at
        + timedelta(seconds=min(wanted.ttl_seconds, query.allowed_seconds)),
        "answer_rows": rows, "answer_bytes": len(block),
        "seconds": ran - began, "store_seconds": time.perf_counter() - ran,
    }  # fmt: skip
