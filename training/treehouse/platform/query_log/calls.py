"""Calls of named queries in a text: which view, with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from treehouse.platform.query_log.shapes import MAX_CHARACTERS

_MOST_CHARACTERS = 500  # of one value


@dataclass(frozen=True)
class Call:
    """One call of a parameterized view.

    Attributes:
        name: Of the view.
        arguments: The values of its parameters, as text.
    """

    name: str
    arguments: Mapping[str, str]


def calls_of(query: str, database: str) -> tuple[Call, ...]:
    """The calls of a database's views in a query, where all arguments are plain values.

    A view without parameters is called by its name alone.
    """
    if len(query) > MAX_CHARACTERS:
        return ()
    try:
        tree = sqlglot.parse_one(query, read="clickhouse")
    except (SqlglotError, RecursionError):
        return ()
    calls = (_call(table, database) for table in tree.find_all(exp.Table))
    return tuple(call for call in calls if call)


def _call(table: exp.Table, database: str) -> Call | None:
    view = table.this
    if not isinstance(view, exp.Anonymous):
        return Call(table.name, {}) if table.db == database else None
    # The engine itself logs `database.view`(...), as one name, where a client sent parameters.
    parts = [part for part in (table.db, *view.name.split(".")) if part]
    arguments = {}
    for expression in view.expressions:
        value = _value(expression.expression) if isinstance(expression, exp.EQ) else None
        if value is None:
            return None
        arguments[expression.this.name] = value
    return Call(parts[-1], arguments) if parts[:-1] == [database] else None


def _value(expression: exp.Expr) -> str | None:
    """A literal as text; None for what the engine would have to compute, or is too long."""
    sign = ""
    if isinstance(expression, exp.Neg):
        sign, expression = "-", expression.this
    if not isinstance(expression, exp.Literal) or len(expression.this) > _MOST_CHARACTERS:
        return None
    return sign + str(expression.this)
