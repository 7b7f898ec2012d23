"""The same simulation on a server, by a user who holds no more than the install's role."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from treehouse.clickhouse.client import identifier
from treehouse.project.settings import Settings
from treehouse.simulation.app import TRUTH_DATABASE, simulate

USERS = 5_000


def content(client: Client, raw: Settings) -> list[tuple[int, int]]:
    """Rows of each table and a hash of them; nothing is left behind."""
    own = identifier(raw.raw_database)
    tables = (f"{own}.events", f"{own}.installs", f"{TRUTH_DATABASE}.users")
    sql = "select count(), sum(cityHash64(tuple(*))) from "
    found = [client.query(sql + table).result_rows[0] for table in tables]
    for database in (raw.raw_database, TRUTH_DATABASE):
        client.command(f"drop database {identifier(database)} sync")
    return found


@pytest.mark.slow
def test_both_engines_hold_the_same_rows(
    server: Engine, client: Client, settings: Settings
) -> None:
    found = []
    for where, one in ((server.settings, server.client), (settings, client)):
        raw = replace(where, raw_database="treehouse_simulated")
        simulate(one, raw, users=1_000, seed=2)
        report = simulate(one, raw, users=USERS, seed=1, replace=True)
        assert report.replaced
        assert simulate(one, raw, users=USERS, seed=1).already_simulated
        found.append(content(one, raw))
    assert found[0] == found[1]
    assert found[0][1][0] == USERS


@pytest.fixture(autouse=True)
def _no_truth_before(server: Engine, client: Client) -> None:
    """No simulation of another test is in the way."""
    for handle in (server.client, client):
        for database in ("treehouse_simulated", TRUTH_DATABASE):
            handle.command(f"drop database if exists {identifier(database)} sync")
