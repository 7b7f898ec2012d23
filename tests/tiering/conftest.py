"""A table in three volumes, and decisions that are given instead of made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.support.cleaning import drop_everything
from treehouse.clickhouse.client import run_script
from treehouse.platform.tiering.volumes import use_volumes
from treehouse.project.settings import Settings, project_vars

TABLE = "treehouse_shop.visits"


@dataclass(frozen=True)
class Shop:
    """A table of six partitions, 1 to 6, of which 5 and 6 are decided to be hot, the rest cold."""

    client: Client
    settings: Settings
    configure: Callable[..., None]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.client.query(sql).result_rows]

    def disks(self) -> dict[str, str]:
        """Where each partition lies."""
        return dict(self.query(
            "select partition_id, arrayStringConcat(arraySort(groupUniqArray(disk_name)), '+') "
            "from system.parts where active and database = 'treehouse_shop' group by 1"
        ))  # fmt: skip

    def states(self) -> list[str]:
        """States of the log, in the order of writing."""
        return [row[0] for row in self.query(
            "select state from treehouse_registry.tier_moves order by at"
        )]  # fmt: skip

    def rows(self) -> int:
        """How many rows the table has."""
        return int(self.query(f"select count() from {TABLE}")[0][0])


_PLACES = """
    select
        concat(database, '.', table, '.', partition_id) as partition_name,
        toDate('2026-07-01') as as_of, database, table, partition_id,
        'tiered' as storage_policy,
        groupUniqArray(toString(disk_name)) as in_volumes,
        count() as parts, sum(bytes_on_disk) as bytes, bytes * 1e6 as stands_for_bytes,
        multiIf(
            countIf(disk_name = 'default') > 0, 'hot',
            countIf(disk_name = 'warm') > 0, 'warm', 'cold'
        ) as tier,
        if(partition_id in ('5', '6'), 'hot', 'cold') as decided_tier,
        if(tier = decided_tier, 'stays', 'move') as action,
        1. as usd_per_month,
        if(tier = decided_tier, 0., toFloat64(partition_id)) as saved_usd_per_month,
        0. as added_waiting_hours_per_month, 0.1 as move_usd,
        toUInt64(0) as reads_7d, toNullable(9.) as days_since_read, toUInt32(1) as model_version
    from system.parts
    where active and database = 'treehouse_shop' and table = 'visits'
    group by database, table, partition_id
"""


@pytest.fixture
def shop(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop on the embedded engine, named in the configuration; an empty log."""
    yield _open(client, settings, monkeypatch)
    drop_everything(client)


@pytest.fixture
def server_shop(server: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The same on the server."""
    yield _open(server.client, server.settings, monkeypatch)
    drop_everything(server.client)


def _open(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Shop:
    drop_everything(client)
    lay_out(client)

    def configure(**changes: Any) -> None:
        variables = configured(**changes)
        monkeypatch.setattr("treehouse.platform.tiering.config.project_vars", lambda: variables)

    configure()
    return Shop(client, settings, configure)


def lay_out(client: Client) -> None:
    """The table in its volumes, and the view of what is decided."""
    run_script(client, [
        "create database treehouse_shop engine = Atomic",
        f"create table {TABLE} (day UInt8, n UInt64) engine = MergeTree partition by day "
        "order by tuple()",
        f"insert into {TABLE} select number % 6 + 1, number from numbers(6000)",
        "create database treehouse engine = Atomic",
        f"create view treehouse.storage_tiering_decisions as {_PLACES}",
    ])  # fmt: skip
    use_volumes(client, "treehouse_shop")


def configured(**changes: Any) -> dict[str, Any]:
    """The project's vars with a configuration of that table."""
    volumes = project_vars()["tiering"]["volumes"]
    given = {"tables": {TABLE: 1e6}, "volumes": volumes, "hours": "0-24", "minimum_stay_days": 7}
    return project_vars() | {"tiering": given | changes}
