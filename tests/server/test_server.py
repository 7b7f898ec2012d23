"""The server under test is one that an operator could have set up."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.conftest import RunningServer
from treehouse.cli.doctor import _grants
from treehouse.clickhouse.client import connect_server, literal, server_profile
from treehouse.project.settings import ROOT

EMPTY_ANSWER = "select treehouse_score(0::UInt64, emptyArrayFloat64(), emptyArrayString())"


def test_the_scorer_answers(server: RunningServer) -> None:
    assert server.client.query(EMPTY_ANSWER).result_rows == [([],)]


@pytest.mark.parametrize("revision", [0, 54405, 54485])
def test_the_scorer_answers_clients_of_any_protocol(server: RunningServer, revision: int) -> None:
    """An HTTP client's protocol revision changes the Native blocks that a function is sent."""
    parts = urlsplit(server.url)
    question = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}/?client_protocol_version={revision}",
        EMPTY_ANSWER.encode(),
        {
            "X-ClickHouse-User": parts.username or "",
            "X-ClickHouse-Key": unquote(parts.password or ""),
        },
    )
    with urllib.request.urlopen(question, timeout=20) as answer:
        assert answer.read() == b"[]\n"


def test_a_file_written_over_sql_is_where_the_scorer_looks(server: RunningServer) -> None:
    if server.origin.data is None:
        pytest.skip("somebody else's server: its folders are not here")
    path = f"{server.settings.model_files}/{0xF11E:016x}.bundle"
    server.client.command(
        f"insert into function file({literal(path)}, 'RawBLOB', 'content String') "
        "settings engine_file_truncate_on_insert = 1 select unhex('00ff0a00')"
    )
    scorer = server.origin.data / "user_scripts" / "treehouse-scorer"
    found = scorer.parent / ".." / "user_files" / "treehouse" / Path(path).name
    assert found.read_bytes() == b"\x00\xff\n\x00"


@pytest.mark.parametrize(
    "statement",
    [
        "create database other",
        "create table default.t (a Int32) engine = Memory",
        "select * from url('http://localhost/', 'CSV')",
        "select name from system.users",
        "create user somebody",
    ],
)
def test_treehouse_holds_no_more_than_the_install_gives(
    server: RunningServer, statement: str
) -> None:
    if server.admin is None:
        pytest.skip("somebody else's server: its user may hold more")
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        server.client.command(statement)


def test_the_doctor_names_the_grants_that_a_user_lacks(server: RunningServer) -> None:
    if server.admin is None:
        pytest.skip("somebody else's server: no user is known to lack something")
    parts = urlsplit(server.url)
    default = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    check = _grants(default)
    default.close()
    assert check.status == "fail"
    assert "dictGet on treehouse*.*" in check.found
    assert "READ on FILE" not in check.found
    assert _grants(server.client).status == "ok"


def test_a_dictionary_over_own_tables_loads(server: RunningServer) -> None:
    client = server.client
    client.command("create database treehouse_probe engine = Atomic")
    client.command(
        "create table treehouse_probe.t (k UInt64, v String) engine = MergeTree order by k"
    )
    client.command("insert into treehouse_probe.t values (1, 'one')")
    profile = server_profile()
    user, password = literal(profile["user"]), literal(profile["password"])
    client.command(
        "create dictionary treehouse_probe.d (k UInt64, v String) primary key k "
        f"source(clickhouse(user {user} password {password} db 'treehouse_probe' table 't')) "
        "layout(hashed()) lifetime(0)"
    )
    client.command("system reload dictionary treehouse_probe.d")
    rows = client.query("select dictGet('treehouse_probe.d', 'v', 1::UInt64)").result_rows
    client.command("drop database treehouse_probe sync")
    assert rows == [("one",)]


def test_connect_finds_the_server_by_its_url(server: RunningServer) -> None:
    client = connect_server(server.settings)
    assert client.query("select 1").result_rows == [(1,)]
    client.close()


def test_unmodified_dbt_clickhouse_reaches_it(server: RunningServer, tmp_path: Path) -> None:
    connect_server(server.settings).close()  # splits CLICKHOUSE_URL for profiles.yml
    (tmp_path / "dbt_project.yml").write_text("name: probe\nversion: '1.0.0'\nprofile: treehouse\n")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "debug",
            f"--profiles-dir={ROOT}",
            "--target=server",
            "--no-version-check",
        ],
        cwd=tmp_path,
        env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "All checks passed" in done.stdout, done.stdout + done.stderr
