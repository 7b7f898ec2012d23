"""The store's own tables and views: made, brought in line with the configuration, cleaned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal, run_script
from treehouse.clickhouse.ddl import MACROS, render
from treehouse.clickhouse.state import ensure_result_cache
from treehouse.platform.result_cache.analysis import without_parameters
from treehouse.platform.result_cache.arguments import ArgumentHash, argument_hash
from treehouse.platform.result_cache.config import NamedQuery, ResultCache
from treehouse.project.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

STORE = MACROS / "state" / "result_cache.sql"
_COMMENT = "Answers of result_cache.queries, by hash "  # of the views and tables that are ours
# Types that the engine warns of.
_ANY_TYPE = {
    f"allow_suspicious_{kind}_types": 1 for kind in ("low_cardinality", "fixed_string", "variant")
}
_GRACE_MINUTES = 10  # for queries that still read what has ended


@dataclass(frozen=True)
class AnswerTable:
    """Where the answers of a query lie.

    Attributes:
        query: The query.
        database: Of the table; it is its reader's.
        name: Of the table: another text or other columns make another one.
        columns: Quoted name and type of each column of an answer.
    """

    query: NamedQuery
    database: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        """Database and name, quoted."""
        return f"{identifier(self.database)}.{identifier(self.name)}"


def open_store(
    client: Client, settings: Settings, cache: ResultCache
) -> tuple[dict[str, AnswerTable], dict[str, str]]:
    """Create what is missing: the log, and a table and a view for each named query.

    Returns:
        As `answer_tables`.
    """
    ensure_result_cache(client, settings, cache.database, cache.horizon_seconds)
    tables, failed = answer_tables(client, cache)
    failed |= _install(client, cache, tables)
    return {name: table for name, table in tables.items() if name not in failed}, failed


def read_anew(client: Client, cache: ResultCache) -> None:
    """Let every view know what the log says now."""
    client.command(f"system reload dictionary {identifier(cache.database)}.answers")


def answer_tables(
    client: Client, cache: ResultCache
) -> tuple[dict[str, AnswerTable], dict[str, str]]:
    """Where the answers of each named query lie or would lie.

    Returns:
        By name: the table; and why there is none, where the query can't be read.
    """
    tables, failed = {}, {}
    for name, query in cache.queries.items():
        try:
            sql = without_parameters(query.sql, query.parameters)
            described = client.query(f"describe table (\n{sql}\n)")
        except ClickHouseError as error:
            failed[name] = first_line(error)
            continue
        columns = tuple((identifier(row[0]), str(row[1])) for row in described.result_rows)
        text = f"{query.sql}\n{columns}"
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        tables[name] = AnswerTable(
            query, cache.answers_of(query), f"{name}__{digest[:12]}", columns
        )
    return tables, failed


def _install(
    client: Client, cache: ResultCache, tables: Mapping[str, AnswerTable]
) -> dict[str, str]:
    """A table and a view for each named query, where they are missing or of another text.

    Returns:
        Why one of them can't be made, by name, as where no table takes the type of a column.
    """
    there = {(table.database, table.name): table.comment for table in _ours(client, cache)}
    hashes, failed = argument_hash(client, cache), {}
    for name, answers in tables.items():
        try:
            _install_one(client, cache, answers, hashes, there)
        except ClickHouseError as error:
            failed[name] = first_line(error)
    return failed


def _install_one(
    client: Client,
    cache: ResultCache,
    answers: AnswerTable,
    hashes: ArgumentHash,
    there: Mapping[tuple[str, str], str],
) -> None:
    if (answers.database, answers.name) not in there:
        script = render(
            STORE, "result_table_ddl", identifier(answers.database), answers.path,
            answers.columns, literal(_COMMENT + answers.query.hash),
        )  # fmt: skip
        run_script(client, script, _ANY_TYPE)
    view = cached_sql(cache, answers, hashes)
    digest = hashlib.sha256(view.encode()).hexdigest()
    comment = f"{_COMMENT}{answers.query.hash}, {digest}"
    if there.get((cache.database, answers.query.name)) != comment:
        client.command(
            f"create or replace view {identifier(cache.database)}.{identifier(answers.query.name)} "
            f"sql security invoker as\n{view} comment {literal(comment)}",
            settings=_ANY_TYPE,
        )


def cached_sql(cache: ResultCache, answers: AnswerTable, hashes: ArgumentHash) -> str:
    """The stored answer if it is fresh, else the query itself."""
    query = answers.query
    dictionary = literal(f"{cache.database}.answers")
    return render(
        STORE, "cached_query", dictionary, answers.path, answers.name, hashes.sql(query), query.sql,
        query.allowed_seconds,
    ).strip()  # fmt: skip


def clean(client: Client, cache: ResultCache, tables: Mapping[str, AnswerTable]) -> int:
    """Drop answers that nobody can read any more, and tables of other texts; how many answers."""
    used = {(answers.database, answers.name) for answers in tables.values()}
    for table in _ours(client, cache):
        if table.engine != "View" and (table.database, table.name) not in used:
            client.command(f"drop table if exists {table.path} sync")
    log = f"{identifier(cache.database)}.results"
    ended = client.query(
        "select database, table, groupUniqArray(partition_id) from system.parts "
        "where active and (database, table) in {used:Array(Tuple(String, String))} "
        f"and modification_time < now() - toIntervalMinute({_GRACE_MINUTES}) "
        f"and partition_id not in (select toString(result_id) from {log} "
        f"where expires_at > now64(6) - toIntervalMinute({_GRACE_MINUTES})) "
        "group by database, table",
        parameters={"used": list(used)},
    ).result_rows
    for database, name, partitions in ended:
        drops = ", ".join(f"drop partition id {literal(part)}" for part in partitions)
        client.command(f"alter table {identifier(database)}.{identifier(name)} {drops}")
    return sum(len(partitions) for *_, partitions in ended)


def views_there(client: Client, cache: ResultCache) -> list[str]:
    """Quoted names of the views and of the tables of answers that are ours; views first."""
    return [table.path for table in _ours(client, cache)]


def drop_views(client: Client, cache: ResultCache) -> list[str]:
    """Drop the views and the tables of answers; names of what was dropped. The log stays."""
    names = views_there(client, cache)
    for name in names:
        client.command(f"drop table if exists {name} sync")
    return names


@dataclass(frozen=True)
class _Ours:
    database: str
    name: str
    engine: str
    comment: str

    @property
    def path(self) -> str:
        return f"{identifier(self.database)}.{identifier(self.name)}"


def _ours(client: Client, cache: ResultCache) -> list[_Ours]:
    """Views, then tables of answers."""
    rows = client.query(
        "select database, name, engine, comment from system.tables "
        "where startsWith(database, {d:String}) and startsWith(comment, {c:String}) "
        "order by engine = 'View' desc, database, name",
        parameters={"d": cache.database, "c": _COMMENT},
    ).result_rows
    return [_Ours(*map(str, row)) for row in rows]
