"""A house for the flow tests: each engine in turn, with SQL functions and an empty registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import TARGETS, Engine, RunningServer
from tests.support.house import dbt
from tests.support.small_bundle import FEATURE, MADE_UP, USE_CASE, write_bundle
from treehouse.clickhouse.client import run_script
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.contract import load_contract
from treehouse.registry.promotions import Version, promote
from treehouse.registry.publish import Parity, publish

_CONTRACT = load_contract(USE_CASE)
#: For what is the same SQL on every engine, to spare time.
ON_EMBEDDED = pytest.mark.parametrize("engine", TARGETS[:1], indirect=True)
ON_SERVER = pytest.mark.parametrize("engine", TARGETS[1:], indirect=True)
ARGUMENTS = ", ".join(f.name for f in _CONTRACT.features)
_TABLES = ("versions", "artifacts", "golden_rows", "events", "statistics", "gates")


@dataclass(frozen=True)
class House:
    """An engine with a table `treehouse.flow_rows` of one row, whose amount_1m is 10."""

    engine: Engine
    folder: Path

    def publish(self, factor: float, **changes: str | float) -> tuple[Version, Parity]:
        """Publish a bundle that answers factor * amount_1m, whatever the gates of quality say."""
        return self.publish_file(write_bundle(self.folder, factor, **changes))

    def publish_file(self, path: Path) -> tuple[Version, Parity]:
        """Publish a bundle, whatever the gates of quality say."""
        return publish(self.engine.client, self.engine.settings, USE_CASE, path, force=MADE_UP)

    def promoted(self, factor: float) -> Version:
        """Publish one and let it answer."""
        version, _ = self.publish(factor)
        return promote(self.engine.client, self.engine.settings, USE_CASE, version.version)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.engine.client.query(sql).result_rows]

    def answer(self) -> float | None:
        """What predict_purchase_value answers for the row."""
        sql = f"select predict_{USE_CASE}({ARGUMENTS}) from treehouse.flow_rows limit 1"
        value: float | None = self.query(sql)[0][0]
        return value

    def count(self, table: str, where: str = "1") -> int:
        """Rows of a table of the registry."""
        sql = f"select count() from treehouse_registry.{table} where {where}"
        return int(self.query(sql)[0][0])

    def model_file(self, bundle: int) -> Path:
        """Where a version's file is on the engine's disk."""
        name = Path("user_files") / "treehouse" / f"{bundle:016x}.bundle"
        if self.engine.target == "embedded":
            return self.engine.settings.home / name
        data = cast(RunningServer, self.engine).origin.data
        if data is None:
            pytest.skip("somebody else's server: its folders are not here")
        return data / name


@pytest.fixture(scope="module")
def built(fresh: Engine) -> Engine:
    """Each engine in turn with the SQL functions, as dbt leaves them."""
    dbt(fresh.settings, "run", "--select", "stg_purchases")
    columns = ", ".join(f"{f.name} {f.type}" for f in _CONTRACT.features)
    run_script(
        fresh.client,
        [
            f"create table treehouse.flow_rows ({columns}) engine = MergeTree order by tuple()",
            f"insert into treehouse.flow_rows ({FEATURE}) values (10)",
        ],
    )
    return fresh


@pytest.fixture
def house(built: Engine, tmp_path: Path) -> House:
    """Each engine in turn, with nothing published."""
    ensure_registry(built.client, built.settings)
    for table in _TABLES:
        built.client.command(f"truncate table treehouse_registry.{table}")
    for name in ("champions", "bundles"):
        built.client.command(f"system reload dictionary treehouse_registry.{name}")
    return House(built, tmp_path)
