"""Dictionaries on a server that asks for passwords hold none, wherever the install is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import RunningServer
from tests.support.cleaning import drop_everything
from tests.support.house import run_dbt
from treehouse.clickhouse import ddl
from treehouse.clickhouse.client import connect_server, literal, server_profile
from treehouse.clickhouse.ddl import MACROS, run_ddl, storage
from treehouse.clickhouse.state import ensure_experiments, ensure_registry, ensure_result_cache
from treehouse.project.settings import Settings

NAMES = ["answers", "assignment_log", "bundles", "champions"]
_HORIZON = 21_600.0


@pytest.fixture(autouse=True)
def _empty(server: RunningServer) -> Iterator[None]:
    drop_everything(server.client)
    yield
    drop_everything(server.client)


def _ensure(client: Client, settings: Settings) -> None:
    ensure_registry(client, settings)
    ensure_experiments(client, settings)
    ensure_result_cache(client, settings, "treehouse_results", _HORIZON)


def _loaded(client: Client) -> list[str]:
    """Names of the dictionaries that can be read."""
    found = client.query(
        "select database, name from system.dictionaries where startsWith(database, 'treehouse') "
        "order by name"
    ).result_rows
    for database, name in found:
        client.command(f"system reload dictionary {database}.{name}")
    return [name for _, name in found]


def _files_with(server: RunningServer, secret: str) -> list[str]:
    if server.origin.data is None:
        pytest.skip("somebody else's server: its folders are not here")
    return [
        str(path)
        for path in server.origin.data.rglob("*.sql")
        if secret in path.read_text(errors="replace")
    ]


def test_no_dictionary_holds_a_password(server: RunningServer) -> None:
    _ensure(server.client, server.settings)
    assert _loaded(server.client) == NAMES
    assert _files_with(server, server_profile()["password"]) == []


def test_dictionaries_of_an_older_release_lose_theirs_and_are_there_all_the_time(
    server: RunningServer,
) -> None:
    client, settings = server.client, server.settings
    profile = server_profile()
    own = f"user {literal(profile['user'])} password {literal(profile['password'])}"
    run_ddl(
        client, MACROS / "state" / "registry.sql", "registry_ddl", "`treehouse_registry`", own,
        **storage(settings),
    )  # fmt: skip
    assert _files_with(server, profile["password"])
    client.command(
        "insert into treehouse_registry.events (model, contract, action, version, bundle) "
        "values ('m', 'c', 'promote', 1, 11)"
    )
    client.command("system reload dictionary treehouse_registry.champions")
    ended, answers = threading.Event(), []

    def ask() -> None:
        reader = connect_server(settings)
        question = "select dictGet('treehouse_registry.champions', 'bundle', ('m', 'c'))"
        while not ended.is_set():
            try:
                answers.append(reader.query(question).result_rows[0][0])
            except ClickHouseError as error:
                answers.append(str(error))
        reader.close()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        ensure_registry(client, settings)
    finally:
        ended.set()
        asking.join()
    assert set(answers) == {11}
    assert _loaded(client) == ["bundles", "champions"]
    assert _files_with(server, profile["password"]) == []


def test_without_the_user_of_the_install_they_take_the_password(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ddl, "DICTIONARY_USER", "nobody_of_this_name")
    _ensure(server.client, server.settings)
    assert _loaded(server.client) == NAMES


@pytest.mark.slow
def test_dbt_alone_writes_no_password_into_a_dictionary_or_its_log(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry of another name is none that the install's user may read."""
    monkeypatch.setenv("DBT_LOG_LEVEL_FILE", "debug")
    elsewhere = replace(server.settings, registry_database="treehouse_elsewhere")
    variables = yaml.safe_dump({"registry_database": elsewhere.registry_database})
    arguments = ("run", "--select", "stg_purchases", "--vars", variables)
    with monkeypatch.context() as alone:
        alone.setattr("treehouse.clickhouse.dbt.ensure_password_dictionaries", lambda _: None)
        refused = run_dbt(elsewhere, *arguments)
    assert not refused.success
    assert "./treehouse --target server build" in str(refused.exception or refused.result)
    assert run_dbt(elsewhere, *arguments).success
    log = (elsewhere.home / "dbt" / "logs" / "dbt.log").read_text()
    assert "create dictionary if not exists treehouse_elsewhere" not in log
    assert "create table if not exists treehouse_elsewhere" in log
    assert server_profile()["password"] not in log
