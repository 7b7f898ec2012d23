"""What a named query asks for beside its tables, as the engine resolves it.

The engine's own analysis names every function, whether it was written as a word or an alias, lies
in a SQL function or was folded into a constant. Views are looked into, as deep as they go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import literal
from treehouse.platform.query_log.functions import STEADY_TABLE_FUNCTIONS, Functions, is_lookup
from treehouse.project.errors import first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.platform.result_cache.config import ResultCache

_NODE = re.compile(
    r"^\s*(?:FUNCTION|TABLE|TABLE_FUNCTION) id: .*?"
    r"\b(function|table|table_function)_name: ([^,\n]+)(?:, function_type: (\w+))?",
    re.MULTILINE,
)
_SYSTEM = re.compile(
    r"(?i)(system(?!\.(one|numbers|numbers_mt|zeros|zeros_mt)$)|information_schema)\."
)
_SETTINGS = {"allow_experimental_analyzer": 1}  # which releases before 24.3 have, but don't use


@dataclass(frozen=True)
class Analysis:
    """What the engine says of one query.

    Attributes:
        moving: What in it changes by itself, each once; a query with any can't be kept.
        lookups: What in it reads elsewhere, such as dictionaries: its answer is kept, but it can't
            be told whether it still holds.
        error: Why it could not be analysed, else "".
    """

    moving: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    error: str = ""

    @property
    def refusal(self) -> str:
        """Why its answers are not kept, else ""."""
        if self.moving:
            return f"changes by itself: {', '.join(self.moving)}"
        return self.error


def analyse(client: Client, cache: ResultCache) -> dict[str, Analysis]:
    """Every named query, by its name."""
    walk = _Walk(client, Functions.of(client))
    return {
        name: walk.of(without_parameters(query.sql, query.parameters))
        for name, query in cache.queries.items()
    }


@dataclass
class _Walk:
    client: Client
    functions: Functions
    views: dict[str, Analysis] = field(default_factory=dict)

    def of(self, sql: str) -> Analysis:
        try:
            tree = self.client.query(
                f"explain query tree passes = 1\n{sql}", settings=_SETTINGS
            ).result_rows
        except ClickHouseError as error:
            return Analysis(error=first_line(error))
        found = [self.node(*node) for node in set(_NODE.findall("\n".join(row[0] for row in tree)))]
        return _both(found)

    def node(self, kind: str, name: str, sort: str) -> Analysis:
        if kind == "function":
            if sort in ("aggregate", "window") or self.functions.is_steady(name):
                return Analysis()
            return Analysis(lookups=(name,)) if is_lookup(name) else Analysis(moving=(name,))
        if kind == "table_function" and name.lower() in STEADY_TABLE_FUNCTIONS | {"dictionary"}:
            return Analysis(lookups=(name,) if name.lower() == "dictionary" else ())
        if name not in self.views:
            self.views[name] = self.relation(name, is_table=kind == "table")
        return self.views[name]

    def relation(self, name: str, is_table: bool) -> Analysis:
        rows = self.client.query(
            "select engine, as_select from system.tables "
            "where concat(database, '.', name) = {name:String}",
            parameters={"name": name},
        ).result_rows
        engine, select = rows[0] if rows else ("", "")
        if engine == "View":
            return self.of(without_parameters(select))
        if engine == "Dictionary":
            return Analysis(lookups=(name,))
        moves = not is_table or engine == "GenerateRandom" or bool(_SYSTEM.match(name))
        return Analysis(moving=(name,) if moves else ())


def _both(found: Iterable[Analysis]) -> Analysis:
    found = list(found)
    return Analysis(
        tuple(sorted({word for one in found for word in one.moving})),
        tuple(sorted({word for one in found for word in one.lookups})),
        next((one.error for one in found if one.error), ""),
    )


def without_parameters(sql: str, names: Iterable[str] = (r"\w+",)) -> str:
    """A query with the default of each parameter's type, which is enough to know its columns."""
    for name in names:
        sql = re.sub(
            rf"\{{\s*{name}\s*:([^{{}}]*)\}}",
            lambda found: f"defaultValueOfTypeName({literal(found[1].strip())})",
            sql,
        )
    return sql
