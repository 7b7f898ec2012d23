"""What may be kept, and how stale it may be: var `result_cache` of dbt_project.yml."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from treehouse.platform.query_log.functions import Functions, is_lookup
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import parse_bytes, project_vars

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
# Of the functions that a word alone calls those that are as likely the names of columns.
_LIKE_COLUMNS = ("database", "now", "schema", "today", "user", "yesterday")


@dataclass(frozen=True)
class NamedQuery:
    """A query whose answers may be kept.

    Attributes:
        name: Of the view that reads them.
        sql: The query, with its parameters as ClickHouse writes them: {since:DateTime}.
        dashboard, panel: As in the log_comment of those who ask it; the decision is found by them.
        allowed_seconds: That an answer may be behind its tables.
        tables: That it reads, as database.table.
        parameters: Name and type of each, by name; the view takes them as arguments.
        arguments: A SELECT of those to keep ahead: a column for each parameter. "" for none.
        user: Who reads the view, and as whom it is run; "" for who fills the store.
    """

    name: str
    sql: str
    dashboard: str
    panel: str
    allowed_seconds: float
    tables: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    arguments: str = ""
    user: str = ""

    @property
    def hash(self) -> str:
        """MD5 of the text, as dbt's `local_md5`."""
        return hashlib.md5(self.sql.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class ResultCache:
    """The owner's limits.

    Attributes:
        queries: What may be kept, by name.
        database: Of the log and the views; nothing else may be in it. Answers lie in one for each
            user, of that name, _ and the user's.
        most_bytes: Of one answer.
        capacity_bytes: Of all that are read; without room the least worth are taken back.
        most_seconds: That a query may take to be kept.
        horizon_seconds: How long after it was computed an answer is no longer renewed.
    """

    queries: Mapping[str, NamedQuery]
    database: str = "treehouse_results"
    most_bytes: int = 10_000_000
    capacity_bytes: int = 10 * 2**30
    most_seconds: float = 60.0
    horizon_seconds: float = 21_600.0

    def answers_of(self, query: NamedQuery) -> str:
        """The database of its answers: who may read it may read all that its user may.

        `own` is the owner's; a user of that name has another one.
        """
        clash = "_" if re.fullmatch("own_*", query.user) else ""
        return f"{self.database}_{query.user or 'own'}{clash}"

    @classmethod
    def configured(cls, given: Mapping[str, Any] | None = None) -> ResultCache:
        """That of dbt_project.yml.

        Raises:
            TreehouseError: A query has no plain name, is not one SELECT that answers the same when
                asked again, or reads a table that is not named in result_cache.tables.
        """
        variables = project_vars()
        given = dict(variables.get("result_cache") or {}) if given is None else given
        most = float(variables["cache_admission_horizon_seconds"])
        queries = {
            str(name): _query(str(name), dict(entry), given, most)
            for name, entry in (given.get("queries") or {}).items()
        }
        return cls(
            database=str(given.get("database", cls.database)),
            queries=queries,
            most_bytes=int(given.get("most_bytes", cls.most_bytes)),
            capacity_bytes=parse_bytes(str(given.get("capacity_bytes", cls.capacity_bytes))),
            most_seconds=float(given.get("most_seconds", cls.most_seconds)),
            horizon_seconds=most,
        )


def _query(
    name: str, entry: Mapping[str, Any], given: Mapping[str, Any], most: float
) -> NamedQuery:
    _expect(
        bool(_NAME.fullmatch(name)) and name != "results", name, name,
        "lower-case letters, digits and _, and not `results`",
    )  # fmt: skip
    sql = str(entry.get("sql", "")).strip()
    allowed = dict(given.get("tables") or {})
    tree = _select(name, sql)
    tables = _tables(name, sql, tree)
    for table in tables:
        _expect(
            allowed.get(table, 0) > 0, name, table,
            "only tables that result_cache.tables names, with the seconds that they allow",
        )  # fmt: skip
    dashboard = str(entry.get("dashboard", ""))
    of_dashboard = dict(given.get("dashboards") or {}).get(dashboard, most)
    seconds = min([float(of_dashboard), most, *(float(allowed[table]) for table in tables)])
    parameters = _parameters(name, tree)
    arguments = str(entry.get("arguments", "")).strip()
    _expect(
        bool(parameters) or not arguments,
        name,
        arguments,
        "arguments only where the query has parameters",
    )
    if arguments:
        _select(name, arguments)
    user = str(dict(given.get("users") or {}).get(dashboard, ""))
    return NamedQuery(
        name, sql, dashboard, str(entry.get("panel", "")), seconds, tuple(tables), parameters,
        arguments, user,
    )  # fmt: skip


def _select(name: str, sql: str) -> exp.Query:
    """One SELECT, or an error that names the query."""
    try:
        statements = sqlglot.parse(sql, read="clickhouse")
    except SqlglotError as error:
        _expect(False, name, str(error).splitlines()[0], "SQL that sqlglot can parse")
        raise
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Query):
        _expect(False, name, sql[:100], "one SELECT, without a semicolon")
        raise AssertionError
    return tree


def _tables(name: str, sql: str, tree: exp.Query) -> list[str]:
    """The tables of a query that has the same answer when it is asked again, as far as its text
    tells; what the engine says of it comes before anything is kept, in analysis.py.
    """
    functions = Functions.shipped()
    moving = [
        word for word in functions.moved_by(sql, _LIKE_COLUMNS)
        if word.lower() in functions.moving | {"system"} and not is_lookup(word)
    ]  # fmt: skip
    _expect(
        not moving, name, f"{', '.join(moving)} in {sql[:100]}",
        "a query that asks for nothing that changes by itself, as now() does",
    )  # fmt: skip
    aliases = {cte.alias for cte in tree.find_all(exp.CTE)}
    found = {
        f"{table.db}.{table.name}" if table.name else table.this.sql("clickhouse")
        for table in tree.find_all(exp.Table)
        if table.db or table.name not in aliases
    }
    _expect(bool(found), name, sql[:100], "a query that reads a table")
    return sorted(found)


def _parameters(name: str, tree: exp.Query) -> dict[str, str]:
    """Name and type of each parameter, in the order of their names."""
    found: dict[str, str] = {}
    for placeholder in tree.find_all(exp.Placeholder):
        kind = placeholder.args.get("kind")
        text = kind.sql("clickhouse") if isinstance(kind, exp.DataType) else ""
        known = found.setdefault(placeholder.name, text)
        _expect(
            bool(text) and known == text, name, placeholder.name,
            "parameters as {name:Type}, each of one type",
        )  # fmt: skip
    return dict(sorted(found.items()))


def _expect(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise TreehouseError(
            f"result_cache.queries.{name} of dbt_project.yml can't be used.",
            value=value,
            expected=expected,
        )
