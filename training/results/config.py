"""What may be kept, and how stale it may be: var `result_cache` of dbt_project.yml."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from training.errors import TreehouseError
from training.queries.shapes import describe
from training.settings import project_vars

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclass(frozen=True)
class NamedQuery:
    """A query whose answer may be kept.

    Attributes:
        name: Of the view that reads it.
        sql: The query.
        dashboard, panel: As in the log_comment of those who ask it; the decision is found by them.
        allowed_seconds: That the answer may be behind its tables.
    """

    name: str
    sql: str
    dashboard: str
    panel: str
    allowed_seconds: float

    @property
    def hash(self) -> str:
        """MD5 of the text, as dbt's `local_md5`."""
        return hashlib.md5(self.sql.encode(), usedforsecurity=False).hexdigest()

    @property
    def table(self) -> str:
        """Where its answers lie."""
        return f"{self.name}__{self.hash[:12]}"


@dataclass(frozen=True)
class ResultCache:
    """The owner's limits.

    Attributes:
        database: Of the store; nothing else may be in it.
        queries: What may be kept, by name.
    """

    database: str
    queries: Mapping[str, NamedQuery]

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
        return cls(str(given.get("database", "treehouse_results")), queries)


def _query(
    name: str, entry: Mapping[str, Any], given: Mapping[str, Any], most: float
) -> NamedQuery:
    _expect(
        bool(_NAME.fullmatch(name)) and name != "results", name, name,
        "lower-case letters, digits and _, and not `results`",
    )  # fmt: skip
    sql = str(entry.get("sql", "")).strip()
    allowed = dict(given.get("tables") or {})
    tables = _tables(name, sql)
    for table in tables:
        _expect(
            allowed.get(table, 0) > 0, name, table,
            "only tables that result_cache.tables names, with the seconds that they allow",
        )  # fmt: skip
    dashboard = str(entry.get("dashboard", ""))
    of_dashboard = dict(given.get("dashboards") or {}).get(dashboard, most)
    seconds = min([float(of_dashboard), most, *(float(allowed[table]) for table in tables)])
    return NamedQuery(name, sql, dashboard, str(entry.get("panel", "")), seconds)


def _tables(name: str, sql: str) -> list[str]:
    """The tables of a query that has the same answer when it is asked again."""
    try:
        statements = sqlglot.parse(sql, read="clickhouse")
    except SqlglotError as error:
        _expect(False, name, str(error).splitlines()[0], "SQL that sqlglot can parse")
        raise
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Query):
        _expect(False, name, sql[:100], "one SELECT, without a semicolon")
        raise AssertionError
    _expect(
        describe(sql, ()).is_deterministic, name, sql[:100],
        "a query that asks for nothing that changes by itself, as now() does",
    )  # fmt: skip
    aliases = {cte.alias for cte in tree.find_all(exp.CTE)}
    found = {
        f"{table.db}.{table.name}"
        for table in tree.find_all(exp.Table)
        if table.db or table.name not in aliases
    }
    _expect(bool(found), name, sql[:100], "a query that reads a table")
    return sorted(found)


def _expect(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise TreehouseError(
            f"result_cache.queries.{name} of dbt_project.yml can't be used.",
            value=value,
            expected=expected,
        )
