"""Each role may do what docs/roles.md says, and nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from typer.testing import CliRunner

from tests.automation.conftest import small_spec
from tests.conftest import RunningServer
from tests.support.cleaning import drop_everything, forget_queries
from tests.support.role_commands import LEFT_OUT, STEPS, Step, commands, is_left_out
from tests.support.server import READER_PASSWORD, ROLES
from tests.tiering.conftest import configured, lay_out
from treehouse import spec as specification
from treehouse.cli.main import app
from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, run_ddl, storage
from treehouse.clickhouse.roles import ROLES as ROLES_FILE
from treehouse.clickhouse.roles import as_sql, granted, role_grants
from treehouse.project.contract import load_contract
from treehouse.project.settings import ROOT
from treehouse.registry import publish as publishing
from treehouse.spec import Spec, load_spec, specs

pytestmark = pytest.mark.slow

As = Callable[[str], Client]
PREDICTED = "purchase_value"
#: Views of the engine's own logs, which show what others ask: for the operator alone.
_OPERATORS = ("model_serving", "prometheus_metrics", "storage_tiering_decisions")
#: Of what queries read and wrote: for the analyst, as are the training sets.
_ANALYSTS = ("stg_part_events", "stg_query_trace")
READING = ("dashboard", "analyst", "trainer")
_PURCHASES = """
select
    toString(number) as purchase_id,
    concat('c', toString(floor(500 * pow(cityHash64(number) % 1000 / 1000, 3)))) as customer_id,
    toDateTime('2024-01-01', 'UTC') + toIntervalDay(cityHash64(number, 1) % 395) as purchased_at,
    1 + number % 3 as quantity,
    5 + cityHash64(number, 2) % 20 as amount_usd
from numbers(4500)
"""


@dataclass(frozen=True)
class House:
    """A server on which every step was done by the role that it names.

    Attributes:
        server: The server; its own client is of a user with the operator's role, too.
        done: What each step answered: exit code and words.
        refused: The same of each that the role before tried in vain.
    """

    server: RunningServer
    done: dict[Step, tuple[int, str]]
    refused: dict[Step, tuple[int, str]]


@pytest.fixture(scope="module")
def house(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything that is there was made by the operator's role, or by the trainer's."""
    if server.admin is None:
        pytest.skip("somebody else's server: the roles' users are not there")
    drop_everything(server.client)
    forget_queries(server.admin)
    lay_out(server.client)
    folder = tmp_path_factory.mktemp("roles")
    text = server.client.raw_query(_PURCHASES, fmt="CSVWithNames")
    (folder / "purchases.csv").write_bytes(text)
    house = House(server, {}, {})
    with pytest.MonkeyPatch.context() as patch:
        # A home of its own: dbt parses anew what it parsed as another user.
        patch.setenv("TREEHOUSE_HOME", str(folder / "home"))
        for name in ("USER", "PASSWORD", "HOST", "PORT", "SECURE"):
            patch.delenv(f"CLICKHOUSE_{name}", raising=False)
        patch.setattr("treehouse.platform.tiering.config.project_vars", configured)
        for module in (specification, publishing):
            patch.setattr(module, "load_spec", _quick_spec)
        for step in STEPS:
            if step.changes:
                before = ROLES[ROLES.index(step.role) - 1]
                house.refused[step] = _call(patch, server, before, step, folder)
            house.done[step] = _call(patch, server, step.role, step, folder)
    server.admin.command("system flush logs")
    yield house
    drop_everything(server.client)


def _quick_spec(name: str) -> Spec:
    return small_spec() if name == PREDICTED else load_spec(name)


def _call(
    patch: pytest.MonkeyPatch, server: RunningServer, role: str, step: Step, folder: Path
) -> tuple[int, str]:
    """The command line in this process, as a user who has one role and nothing more."""
    where = f"127.0.0.1:{urlsplit(server.url).port}"
    patch.setenv("CLICKHOUSE_URL", f"http://{role}_user:{READER_PASSWORD}@{where}")
    words = [word.format(folder=folder) for word in shlex.split(step.text)]
    done = CliRunner().invoke(app, ["--target", "server", *words])
    error = "" if isinstance(done.exception, SystemExit) else f"\n{done.exception!r}"
    return done.exit_code, done.output + error * bool(done.exception)


@pytest.fixture(scope="module")
def as_role(house: House) -> Iterator[As]:
    """A client of a user who has one role and nothing more."""
    clients: dict[str, Client] = {}

    def client(role: str) -> Client:
        if role not in clients:
            clients[role] = clickhouse_connect.get_client(
                host="127.0.0.1", port=urlsplit(house.server.url).port or 0,
                username=f"{role}_user", password=READER_PASSWORD,
            )  # fmt: skip
        return clients[role]

    yield client
    for opened in clients.values():
        opened.close()


def _refused(client: Client, statement: str) -> str:
    with pytest.raises(DatabaseError, match="ACCESS_DENIED") as refused:
        client.command(statement)
    return str(refused.value)


def _name(step: Step) -> str:
    return f"{step.role}: {' '.join(step.text.split()[:4])}"


@pytest.mark.parametrize("step", STEPS, ids=_name)
def test_a_command_needs_no_more_than_its_role(house: House, step: Step) -> None:
    code, said = house.done[step]
    assert code in step.codes, said
    assert "ACCESS_DENIED" not in said


@pytest.mark.parametrize("step", [step for step in STEPS if step.changes], ids=_name)
def test_a_command_that_changes_something_is_refused_to_the_role_before(
    house: House, step: Step
) -> None:
    code, said = house.refused[step]
    assert code
    assert "ACCESS_DENIED" in said, said


def test_every_command_has_a_role_or_a_reason() -> None:
    """A command that is new belongs into tests/support/role_commands.py, and into docs/roles.md."""
    run = {step.command for step in STEPS}
    assert run | {name for name in commands() if is_left_out(name)} == commands()
    assert not run & set(LEFT_OUT)
    assert set(LEFT_OUT) <= commands()


@pytest.mark.parametrize("role", READING)
def test_every_view_can_be_read(house: House, as_role: As, role: str) -> None:
    names = house.server.client.query(
        "select name from system.tables where database = 'treehouse' and name not in "
        f"{_OPERATORS} and engine != 'MaterializedView' order by name"
    ).result_rows
    assert len(names) > 15
    for (name,) in names:
        statement = f"select * from treehouse.{identifier(name)} limit 1"
        if role == "dashboard" and (name in _ANALYSTS or name.endswith("_training_set")):
            _refused(as_role(role), statement)
        else:
            as_role(role).query(statement)


def test_no_dashboard_reads_a_training_set() -> None:
    """The engine knows no pattern of a name's end: the file says each."""
    role = ElementTree.parse(ROLES_FILE).find("roles/treehouse_dashboard")
    assert role is not None
    revoked = {
        query.text for query in role.iter("query") if (query.text or "").startswith("REVOKE")
    }
    assert revoked == {f"REVOKE SELECT ON treehouse.{name}_training_set" for name in specs()}


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
        "select * from treehouse_results.argument_secrets",
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
    house: House, as_role: As, role: str, engine: str
) -> None:
    client = house.server.client if role == "treehouse" else as_role(role)
    text = _refused(client, f"create table treehouse.reach (l String) engine = {engine}")
    assert "TABLE ENGINE" in text


def test_the_operator_may_all_that_the_install_says(house: House, as_role: As) -> None:
    """dbt built `house` with the role of the same grants."""
    registry = storage(house.server.settings)
    client = as_role("operator")
    run_ddl(
        client, MACROS / "state" / "retrain.sql", "runs_ddl", "`treehouse_registry`", **registry
    )
    client.command("system flush logs")
    _refused(client, "create user somebody")
    _refused(client, "select * from system.users")
    _refused(client, "select * from url('http://127.0.0.1:1/', 'LineAsString', 'l String')")
    _refused(client, "create table default.own (x UInt8) engine = MergeTree order by x")


def test_who_reads_for_dictionaries_sees_what_they_hold(house: House) -> None:
    """Without a password, so with nothing else than that; and from the server itself alone."""
    port = urlsplit(house.server.url).port or 0
    reader = clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="treehouse_dictionaries"
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


def test_the_same_roles_parse_as_sql(house: House) -> None:
    statements = [part for part in re.sub("--.*", "", as_sql()).split(";\n") if part.strip()]
    for statement in statements:
        shown = house.server.client.query(
            "select formatQuery({text:String})", parameters={"text": statement}
        ).result_rows[0][0]
        assert shown.startswith(("CREATE ROLE", "CREATE USER", "GRANT", "REVOKE"))
    grants = sum(len(texts) for texts in granted().values())
    assert sum(text.lstrip().startswith("GRANT") for text in statements) > grants


def test_every_role_is_explained() -> None:
    text = (ROOT / "docs" / "roles.md").read_text()
    assert set(granted()) == {*(f"treehouse_{role}" for role in ROLES), "treehouse"}
    for role in granted():
        assert f"`{role}`" in text


#: What no step asks for, and what does.
_RARE = {
    "DROP DATABASE": "demo --fresh; workload run --replace",
    "DROP TABLE ON simulation_truth": "demo --fresh: a database is dropped with its tables",
    "DROP DICTIONARY": "dictionaries of an older release, or of another password",
    "TABLE ENGINE ON Replicated": "state_engine, where nodes are many",
    "SELECT ON system.processes": "a load of minutes, and prefetch, look at what runs",
    "SET DEFINER": "is looked at, never used",
    "SELECT ON treehouse_registry.golden_rows": "models diff without a training set",
    "SELECT(result_id, state, seconds)": "models of cache_admission",
    "SELECT ON treehouse_raw.engine_partitions": "models of storage_tiering",
    "SELECT ON treehouse_raw.engine_query_shapes": "models of next_query",
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_nothing_that_no_command_or_view_needs(
    house: House, as_role: As, role: str
) -> None:
    """As the engine itself counts it; what `doctor` only asks whether it may is no use."""
    assert house.server.admin
    if role in READING:
        test_every_view_can_be_read(house, as_role, role)
    house.server.admin.command("system flush logs")
    rows = house.server.admin.query(
        "select distinct arrayJoin(used_privileges) from system.query_log "
        f"where user = '{role}_user' and not startsWith(lower(query), 'check grant')"
    ).result_rows
    used = [text.rpartition(" ON ") for (text,) in rows]
    own = role_grants("treehouse" if role == "operator" else f"treehouse_{role}")
    idle = [
        f"{privilege} ON {place}"
        for privilege, place in own
        if not any(
            did.startswith(privilege.partition("(")[0])
            and re.fullmatch(re.escape(place).replace(r"\*", ".*"), there)
            for did, _, there in used
        )
    ]
    assert [text for text in idle if not text.startswith(tuple(_RARE))] == []


def test_the_document_names_the_role_of_each_command() -> None:
    text = (ROOT / "docs" / "roles.md").read_text()
    told: dict[str, str] = {}
    role = ""
    for first, second in re.findall(r"^\| (\S*) ?\| (`[^|]*) \|$", text, re.MULTILINE):
        role = first.strip("`") or role
        told |= dict.fromkeys(re.findall("`([^`]+)`", second), role)
    assert {step.command: f"treehouse_{step.role}" for step in STEPS}.items() <= told.items()
    assert set(told) <= commands()
