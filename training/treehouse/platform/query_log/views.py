"""What is known of the functions and views that the queries of a log may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError

from treehouse.platform.query_log.functions import Functions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class Knowledge:
    """What an engine says of its own.

    Attributes:
        functions: Its functions, with those of its users.
        steady_views: database.name of views that answer the same while their tables do.
        moving_views: Those of the others.
    """

    functions: Functions
    steady_views: frozenset[str]
    moving_views: frozenset[str]

    @classmethod
    def of(cls, client: Client, store: str) -> Knowledge:
        """That of an engine; views of the database `store`, the result store, read what was kept
        of queries that don't move, or run them."""
        functions = Functions.of(client)
        rows = client.query(
            "select concat(database, '.', name), database, as_select from system.tables "
            "where engine = 'View' and database not in ('system', 'information_schema', "
            "'INFORMATION_SCHEMA')"
        ).result_rows
        views = {name: "" if database == store else select for name, database, select in rows}
        moving = _moving(functions, views)
        return cls(functions, frozenset(views) - moving, moving)


def _moving(functions: Functions, views: Mapping[str, str]) -> frozenset[str]:
    """Of views by their SELECT those that move, by themselves or by one that they read."""
    moving = {name for name, select in views.items() if functions.moved_by(select, (), views)}
    reads = {name: _dotted(select) for name, select in views.items()}
    while new := {name for name in views if name not in moving and reads[name] & moving}:
        moving |= new
    return frozenset(moving)


def _dotted(select: str) -> frozenset[str]:
    """All `a.b` in a text; the engine writes the tables of a view so."""
    try:
        words = [token.text for token in ClickHouse().tokenize(select)]
    except SqlglotError:
        return frozenset()
    return frozenset(
        f"{a}.{b}" for a, dot, b in zip(words, words[1:], words[2:], strict=False) if dot == "."
    )
