"""Each role may do what docs/roles.md says, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.conftest import RunningServer
from tests.support.cleaning import drop_everything
from tests.support.house import dbt
from tests.support.server import READER_PASSWORD, ROLES
from training.contract import load_contract
from training.ddl import MACROS, run_ddl, storage
from training.engine import identifier
from training.roles import as_sql, granted
from training.settings import ROOT
from training.tune.trials import ensure_trials

As = Callable[[str], Client]
BUILT = (
    "+path:models/purchase_value", "path:models/registry", "path:models/experiments",
    "stg_events", "stg_installs", "model_drift", "model_quality", "model_health",
)  # fmt: skip
PREDICTED = "purchase_value"
#: Views of the engine's own logs, which show what others ask: for the operator alone.
_OPERATORS = ("model_serving", "prometheus_metrics")
READING = ("dashboard", "analyst", "trainer")


@pytest.fixture(scope="module")
def house(server: RunningServer) -> Iterator[RunningServer]:
    """A server with some models built, by the operator's role alone."""
    if server.admin is None:
        pytest.skip("somebody else's server: the roles' users are not there")
    drop_everything(server.client)
    dbt(server.settings, "run", "--select", *BUILT)
    ensure_trials(server.client, server.settings)
    yield server
    drop_everything(server.client)


@pytest.fixture(scope="module")
def as_role(house: RunningServer) -> Iterator[As]:
    """A client of a user who has one role and nothing more."""
    clients: dict[str, Client] = {}

    def client(role: str) -> Client:
        if role not in clients:
            clients[role] = clickhouse_connect.get_client(
                host="127.0.0.1", port=urlsplit(house.url).port or 0, username=f"{role}_user",
                password=READER_PASSWORD,
            )  # fmt: skip
        return clients[role]

    yield client
    for opened in clients.values():
        opened.close()


def _refused(client: Client, statement: str) -> str:
    with pytest.raises(DatabaseError, match="ACCESS_DENIED") as refused:
        client.command(statement)
    return str(refused.value)


@pytest.mark.parametrize("role", READING)
def test_every_view_can_be_read(house: RunningServer, as_role: As, role: str) -> None:
    names = house.client.query(
        "select name from system.tables where database = 'treehouse' and name not in "
        f"{_OPERATORS} and engine != 'MaterializedView' order by name"
    ).result_rows
    assert len(names) > 15
    for (name,) in names:
        as_role(role).query(f"select * from treehouse.{identifier(name)} limit 1")


@pytest.mark.parametrize("role", [*READING, "operator"])
def test_models_answer(as_role: As, role: str) -> None:
    """The champion, a version, why, and an experiment's variant: null and errors of the functions'
    own where nothing is promoted, never for want of a right."""
    client, features = as_role(role), load_contract(PREDICTED).features
    zeros = ", ".join(f"0::{feature.type}" for feature in features)
    for name in ("predict", "explain"):
        client.query(f"select {name}_{PREDICTED}({zeros})")
    assert client.query(f"select predict_{PREDICTED}_full({zeros}) as p").row_count == 1
    with pytest.raises(DatabaseError, match="no such version"):
        client.query(f"select predict_{PREDICTED}_at(7, {zeros})")
    with pytest.raises(DatabaseError, match="no such experiment"):
        client.query("select variant('none', '1')")


@pytest.mark.parametrize("role", READING)
@pytest.mark.parametrize(
    "statement",
    [
        "insert into treehouse_registry.events (model, action) values ('m', 'promote')",
        "insert into treehouse_registry.versions (model) values ('m')",
        "insert into treehouse_registry.experiments (experiment) values ('e')",
        "insert into treehouse_raw.purchases select * from treehouse_raw.purchases",
        "alter table treehouse.purchase_value_features delete where 1",
        "drop table treehouse.purchase_value_features",
        "truncate table treehouse_registry.events",
        "create table treehouse.own (x UInt8) engine = MergeTree order by x",
        "create database treehouse_own",
        "create or replace function predict_purchase_value as (x) -> x",
        "drop function predict_purchase_value",
        "system reload dictionary treehouse_registry.champions",
        "system flush logs",
        "select content from treehouse_registry.artifacts",
        "select * from treehouse_raw.engine_keys",
        "select * from treehouse_raw.engine_calls",
        "select detail from treehouse_results.results",
        "select arguments from treehouse_results.results",
        "select * from treehouse_results.live",
        "select * from treehouse_results.answers",
        "select * from system.processes",
        "select * from system.users",
        "select * from file('treehouse/*', 'RawBLOB', 'content String')",
        "insert into function file('x', 'RawBLOB', 'c String') select 'x'",
        "select * from executable('treehouse-scorer --version', 'LineAsString', 'l String')",
        "select * from url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
        "create temporary table own (x UInt8) engine = Memory",
    ],
)
def test_who_reads_changes_nothing_and_sees_no_secret(
    as_role: As, role: str, statement: str
) -> None:
    _refused(as_role(role), statement)


def test_roles_differ_by_what_they_are_for(as_role: As) -> None:
    for statement in (
        "select * from treehouse_raw.quarantine",
        "select * from treehouse_registry.statistics",
        "select * from treehouse_raw.load_log",
    ):
        _refused(as_role("dashboard"), statement)
        as_role("analyst").query(statement)
    tuned = "insert into treehouse_registry.tuned select * from treehouse_registry.tuned"
    for statement in ("select * from treehouse_registry.golden_rows", tuned):
        _refused(as_role("analyst"), statement)
        as_role("trainer").command(statement)


@pytest.mark.parametrize("role", ["operator", "treehouse"])
@pytest.mark.parametrize(
    "engine",
    [
        "Executable('treehouse-scorer --version', LineAsString)",
        "ExecutablePool('treehouse-scorer loaded', LineAsString)",
        "URL('http://127.0.0.1:1/', LineAsString)",
        "Merge('system', '.*')",
        "Distributed('default', 'system', 'one')",
        "Null",
        "Log",
    ],
)
def test_the_operator_makes_no_table_that_runs_or_reaches_out(
    house: RunningServer, as_role: As, role: str, engine: str
) -> None:
    client = house.client if role == "treehouse" else as_role(role)
    text = _refused(client, f"create table treehouse.reach (l String) engine = {engine}")
    assert "TABLE ENGINE" in text


def test_the_operator_may_all_that_the_install_says(house: RunningServer, as_role: As) -> None:
    """dbt built `house` with the role of the same grants."""
    registry = storage(house.settings)
    client = as_role("operator")
    run_ddl(client, MACROS / "runs.sql", "runs_ddl", "`treehouse_registry`", **registry)
    client.command("system flush logs")
    _refused(client, "create user somebody")
    _refused(client, "select * from system.users")
    _refused(client, "select * from url('http://127.0.0.1:1/', 'LineAsString', 'l String')")
    _refused(client, "create table default.own (x UInt8) engine = MergeTree order by x")


def test_who_reads_for_dictionaries_sees_what_they_hold(house: RunningServer) -> None:
    """Without a password, so with nothing else than that; and from the server itself alone."""
    reader = clickhouse_connect.get_client(
        host="127.0.0.1", port=urlsplit(house.url).port or 0, username="treehouse_dictionaries"
    )
    reader.query("select model, version, bundle from treehouse_registry.events")
    for statement in (
        "select actor from treehouse_registry.events",
        "select detail from treehouse_results.results",
        "select * from treehouse.purchase_value_features",
        "insert into treehouse_registry.events (model) values ('m')",
        "create temporary table own (x UInt8) engine = Memory",
        "select dictGet('treehouse_registry.champions', 'bundle', ('m', 'c'))",
    ):
        _refused(reader, statement)
    reader.close()


def test_the_same_roles_parse_as_sql(house: RunningServer) -> None:
    statements = [part for part in re.sub("--.*", "", as_sql()).split(";\n") if part.strip()]
    for statement in statements:
        shown = house.client.query(
            "select formatQuery({text:String})", parameters={"text": statement}
        ).result_rows[0][0]
        assert shown.startswith(("CREATE ROLE", "CREATE USER", "GRANT"))
    grants = sum(len(texts) for texts in granted().values())
    assert sum(text.lstrip().startswith("GRANT") for text in statements) > grants


def test_every_role_is_explained() -> None:
    text = (ROOT / "docs" / "roles.md").read_text()
    assert set(granted()) == {*(f"treehouse_{role}" for role in ROLES), "treehouse"}
    for role in granted():
        assert f"`{role}`" in text
