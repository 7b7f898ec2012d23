"""A model that is published for real, over features and labels that a test can change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.conftest import Engine, RunningServer
from tests.support.cleaning import forget_queries
from tests.support.house import dbt
from tests.support.small_bundle import MADE_UP, USE_CASE, write_bundle
from treehouse.bundle import Bundle
from treehouse.clickhouse.client import run_script
from treehouse.monitor.run import Checked, check
from treehouse.monitor.state import Alert, ensure_monitoring, read_alerts
from treehouse.project.contract import load_contract
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish
from treehouse.registry.statistics import write_statistics
from treehouse.spec import Spec, load_spec

_CONTRACT = load_contract(USE_CASE)
FEATURES, TRAINING_SET = f"treehouse.{USE_CASE}_features", f"treehouse.{USE_CASE}_training_set"
ARGUMENTS = ", ".join(f.name for f in _CONTRACT.features)
DRIFT = f"{USE_CASE}/drift/amount_1m"
MOVED = (f"{USE_CASE}/prediction/value", DRIFT)
"""What a run finds after drifted(): the answers, and why."""
ROWS = 2000


def rows(n: int, seed: int, first_day: str, days: int) -> str:
    """SELECT of n customers: every feature exponential with the mean 10, the time spread out."""
    columns = [
        f"-10 * log((cityHash64(number, {seed}, {i}) % 1000000 + 1) / 1000001) as {feature.name}"
        for i, feature in enumerate(_CONTRACT.features)
    ]
    return (
        f"select toString(number) as customer_id, {first_day} + number % {days} as as_of, "
        f"{', '.join(columns)} from numbers({n})"
    )


@dataclass(frozen=True)
class Watched:
    """An engine whose champion answers 2 * amount_1m and was right about the training set."""

    engine: Engine
    spec: Spec

    def check(self, **watch: Any) -> Checked:
        """One run of the monitor, with these thresholds."""
        spec = replace(self.spec, watch=replace(self.spec.watch, **watch))
        return check(self.engine.client, self.engine.settings, spec)

    def alerts(self, where: str = "1") -> list[Alert]:
        return read_alerts(self.engine.client, self.engine.settings, where)

    def window(self, select: str) -> None:
        """Let the features hold the rows of a SELECT; they are cast to the contract's types."""
        run_script(
            self.engine.client,
            [
                f"truncate table {FEATURES}",
                f"insert into {FEATURES} select customer_id, as_of, {ARGUMENTS} from ({select})",
            ],
        )

    def usual(self, seed: int = 3) -> None:
        """Five windows of 28 days until today, as the training was."""
        self.window(rows(5 * 392, seed, "today() - 139", 140))

    def drifted(self, feature: str = "amount_1m") -> None:
        """As usual, but a feature is half a standard deviation more: that which is answered by."""
        self.window(f"select * replace ({feature} + 5 as {feature}) from ({_USUAL})")

    def count(self, table: str, where: str = "1") -> int:
        sql = f"select count() from treehouse_registry.{table} where {where}"
        return int(self.engine.client.query(sql).result_rows[0][0])


_USUAL = rows(5 * 392, 3, "today() - 139", 140)


@pytest.fixture(scope="module")
def published(fresh: Engine, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Each engine in turn with a champion, its statistics and the views of the monitor."""
    dbt(fresh.settings, "run", "--select", "stg_purchases", "monitoring")
    columns = ", ".join(f"{f.name} {f.type}" for f in _CONTRACT.features)
    training = rows(ROWS, 1, "toDate('2020-01-01')", 200)
    run_script(
        fresh.client,
        [
            f"create table {FEATURES} (customer_id String, as_of Date, {columns}) "
            "engine = MergeTree order by customer_id",
            f"create table {TRAINING_SET} (customer_id String, as_of Date, {columns}, "
            "future_amount Float64, split String) engine = MergeTree order by customer_id",
            f"insert into {TRAINING_SET} select *, 2 * amount_1m, "
            "['train', 'train', 'train', 'test', 'calibration'][1 + toUInt64(customer_id) % 5] "
            f"from ({training})",
        ],
    )
    path = write_bundle(tmp_path_factory.mktemp("bundle"), 2.0)
    version, _ = publish(fresh.client, fresh.settings, USE_CASE, path, force=MADE_UP)
    # As publish does for a bundle that was trained on this training set.
    header = Bundle.read_header(path.read_bytes()) | {"bundle": version.bundle, "explained": False}
    write_statistics(fresh.client, fresh.settings, _CONTRACT, header, version.version)
    ensure_monitoring(fresh.client, fresh.settings)
    promote(fresh.client, fresh.settings, USE_CASE, version.version)
    return Watched(fresh, load_spec(USE_CASE))


@pytest.fixture
def watched(published: Watched) -> Watched:
    """The same without alerts, its window as usual, nothing known of calls that failed."""
    if isinstance(published.engine, RunningServer) and published.engine.admin:
        forget_queries(published.engine.admin)
    published.engine.client.command("truncate table treehouse_registry.alert_events")
    published.usual()
    return published
