"""A database of its own for each load test, on each engine in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.conftest import Engine
from treehouse.ingest.load import LoadReport, load
from treehouse.ingest.sources import ensure_raw
from treehouse.project.settings import Settings

DATABASE = "treehouse_load_tests"
#: Each of them empties and fills tables.
some_examples = hypothesis_settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass(frozen=True)
class House:
    """An engine with empty sources, and a folder for files."""

    client: Client
    settings: Settings
    folder: Path

    def load(self, source: str, origin: str | Path | list[str], **options: Any) -> LoadReport:
        """Load, and check what holds of every load."""
        origins = origin if isinstance(origin, list) else str(origin)
        report = load(self.client, self.settings, source, origins, **options)
        parts = report.loaded + report.quarantined + report.duplicate + report.dropped
        assert report.rows == parts
        assert self.query(
            "select count() from system.tables where database = {} and startsWith(name, '_load')"
        ) == [(0,)]
        return report

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; `{}` stands for the name of the database as text."""
        rows = self.client.query(sql.replace("{}", f"'{DATABASE}'")).result_rows
        return [tuple(row) for row in rows]

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """Rows of a table of the sources' database, sorted by all columns."""
        return self.query(f"select {columns} from {DATABASE}.{table} order by all")

    def reasons(self) -> list[str]:
        """Why rows were quarantined, sorted."""
        return [row[0] for row in self.rows("quarantine", "reason")]

    def csv(self, lines: Sequence[str], name: str = "rows.csv") -> Path:
        """A text file of those lines, the first naming the columns."""
        path = self.folder / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def empty(self) -> None:
        """Take all rows out, but those to load from."""
        self.client.command(f"truncate all tables from {DATABASE} not like 'theirs'")


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> Iterator[House]:
    """Each engine in turn, with empty sources."""
    settings = replace(engine.settings, raw_database=DATABASE)
    engine.client.command(f"drop database if exists {DATABASE}")
    ensure_raw(engine.client, settings)
    yield House(engine.client, settings, tmp_path)
    engine.client.command(f"drop database {DATABASE}")
