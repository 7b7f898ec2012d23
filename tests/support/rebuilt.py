"""The real models over made-up worlds: dbt builds them once, each world fills its tables anew."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.support.future import empty_sources
from tests.support.house import run_dbt
from tests.support.worlds import Row, World
from treehouse.clickhouse.client import identifier
from treehouse.ingest.sources import ensure_raw, read_sources
from treehouse.platform.query_log.collect import CONTRACTS as ENGINE
from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Built:
    """Models that dbt has built.

    Attributes:
        client: Of the engine that holds them.
        settings: Of the same.
        tables: Tables in their order, with the SQL that dbt compiled.
        states: Tables that a materialized view keeps.
        parents: What each model is made of.
    """

    client: Client
    settings: Settings
    tables: dict[str, str]
    states: tuple[str, ...]
    parents: dict[str, list[str]]

    def fill(self, world: World, wanted: Sequence[str]) -> None:
        """Fill the sources with a world, then tables and what they are made of, as dbt would."""
        sources = read_sources(self.settings) | read_sources(self.settings, ENGINE)
        for table in (*map(self._qualified, self.states), *(s.qualified for s in sources.values())):
            self.client.command(f"truncate table {table}")
        for name, rows in world.raw.items():
            for batch in filter(None, (rows[::2], rows[1::2])):  # states are not merged at once
                columns = list(rows[0])
                self.client.insert(
                    sources[name].table,
                    [[row[column] for column in columns] for row in batch],
                    column_names=columns,
                    database=sources[name].database,
                )
        needed = self._with_parents(wanted)
        for name, sql in self.tables.items():
            if name in needed:
                columns = self._columns(name)
                self.client.command(f"truncate table {self._qualified(name)}")
                self.client.command(
                    f"insert into {self._qualified(name)} ({columns}) select {columns} from ({sql})"
                )

    def rows(self, table: str, columns: Iterable[str] = ()) -> list[Row]:
        """Some columns of a table, or all."""
        selected = ", ".join(map(identifier, columns)) or "*"
        found = self.client.query(
            f"select {selected} from {self._qualified(table)}", tz_mode="aware"
        )
        return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]

    def _with_parents(self, models: Sequence[str]) -> set[str]:
        found = set(models)
        for model in models:
            found |= self._with_parents(self.parents.get(model, []))
        return found

    def _columns(self, table: str) -> str:
        rows = self.client.query(
            "select name from system.columns where database = {d:String} and table = {t:String}",
            parameters={"d": self.settings.database, "t": table},
        ).result_rows
        return ", ".join(identifier(name) for (name,) in rows)

    def _qualified(self, table: str) -> str:
        return f"{identifier(self.settings.database)}.{identifier(table)}"


def build_once(
    client: Client, settings: Settings, models: Sequence[str], variables: dict[str, Any]
) -> Built:
    """Build models, and what they need, over empty sources."""
    ensure_raw(client, settings)
    empty_sources(client, settings)
    selected = [f"+{model}" for model in models]
    done = run_dbt(
        settings, "run", "--full-refresh", "--select", *selected, "--vars", json.dumps(variables)
    )
    assert done.success, [r.message for r in done.result or ()] or done.exception
    nodes = [r.node for r in done.result if str(r.node.resource_type) == "model"]
    kind = {node.name: node.config.materialized for node in nodes}
    assert set(kind.values()) <= {"view", "table", "materialized_view"}, kind
    return Built(
        client,
        settings,
        {node.name: node.compiled_code for node in nodes if kind[node.name] == "table"},
        tuple(name for name, how in kind.items() if how == "materialized_view"),
        {n.name: [p.split(".")[-1] for p in n.depends_on.nodes] for n in nodes},
    )


def differences(
    found: Sequence[Row], expected: Sequence[Row], keys: Sequence[str], within: dict[str, float]
) -> list[str]:
    """What differs in the columns that expected rows name, and the rows that only one side has."""
    there = {tuple(row[key] for key in keys): row for row in found}
    wanted = {tuple(row[key] for key in keys): row for row in expected}
    assert len(there) == len(found), "keys that are not unique in the tables"
    assert len(wanted) == len(expected), "keys that are not unique in the definition"
    said = [f"missing: {key}" for key in wanted.keys() - there.keys()]
    said += [f"too many: {key}" for key in there.keys() - wanted.keys()]
    for key in wanted.keys() & there.keys():
        said += [
            f"{column} of {key}: {there[key][column]!r}, expected {value!r}"
            for column, value in wanted[key].items()
            if not _same(there[key][column], value, within.get(column))
        ]
    return sorted(said)


def _same(found: Any, expected: Any, within: float | None) -> bool:
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(
            _same(a, b, within) for a, b in zip(found, expected, strict=True)
        )
    if isinstance(expected, float):
        if found is None or within is not None:
            return found is not None and abs(found - expected) <= within
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return bool(found == expected)
