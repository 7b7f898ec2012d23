"""No secret stands in anything that a run writes: files, logs, messages, the engine's own logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.conftest import Cli, RunningServer
from tests.support.cleaning import drop_everything, forget_queries
from tests.support.small_bundle import MADE_UP, USE_CASE, write_bundle
from treehouse.registry.promotions import promote
from treehouse.registry.publish import publish

pytestmark = pytest.mark.slow

TOKEN = "T0KEN0f-the-webhook"
_BUILD = ("build", "--select", f"+path:models/{USE_CASE}")
_RUNS = (
    ("doctor",),
    ("experiment", "start", "planted", "--metric", "revenue"),
    ("collect",),
    ("monitor",),
    ("report", USE_CASE),
    ("retrain", "--all", "--cron"),
    ("sql", "select nothing_of_this_name"),
    ("dbt", "ls", "--select", "no_such_model"),
)


@pytest.fixture
def empty(server: RunningServer) -> Iterator[RunningServer]:
    if server.admin is None or server.origin.data is None or server.origin.log is None:
        pytest.skip("somebody else's server: what it wrote is not here")
    drop_everything(server.client)
    forget_queries(server.admin)
    yield server
    drop_everything(server.client)


def _addresses(url: str) -> list[str]:
    """The server's address with each mistake that people make."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host, port = parts.hostname or "", parts.port
    return [
        f"http://{user}:{password}@{host}:{port}",  # as it is, with characters of another meaning
        f"http://{user}:{quote(password, safe='')}@{host}:1",
        f"http://{user}:{quote(password, safe='')}@{host}:port",
        f"{user}:{password}@{host}:{port}",
        f"http://{user}:wrong{quote(password, safe='')}@{host}:{port}",
    ]


def _contents(*folders: Path) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes().decode(errors="replace")


def _let_one_answer(server: RunningServer, folder: Path) -> None:
    """A version for the page to tell of."""
    bundle = write_bundle(folder, 2.0)
    version, _ = publish(server.client, server.settings, USE_CASE, bundle, force=MADE_UP)
    promote(server.client, server.settings, USE_CASE, version.version)


def test_no_secret_in_anything_that_a_run_writes(
    empty: RunningServer, run_cli: Cli, tmp_path: Path
) -> None:
    assert empty.admin
    assert empty.origin.data
    assert empty.origin.log
    home = tmp_path / "home"
    surroundings = {
        "TREEHOUSE_WEBHOOK": f"http://127.0.0.1:1/{TOKEN}",
        "DBT_LOG_LEVEL_FILE": "debug",
        "DBT_WRITE_JSON": "true",
    }
    written: list[tuple[str, str]] = []
    for run in (_BUILD, *_RUNS):
        done = run_cli(*run, target="server", home=home, check=False, **surroundings)
        written.append((" ".join(run), done.stdout + done.stderr))
        if run == _BUILD:
            assert done.returncode == 0, done.stderr
            _let_one_answer(empty, tmp_path)
    for address in _addresses(empty.url):
        own = surroundings | {"CLICKHOUSE_URL": address}
        done = run_cli("status", target="server", home=home, check=False, **own)
        assert done.returncode == 2
        written.append(("an address that is wrong", done.stdout + done.stderr))
    empty.admin.command("system flush logs")
    for (row,) in empty.admin.query(
        "select formatRowNoNewline('JSONEachRow', *) from system.query_log "
        "where user in ('treehouse', '') or type != 'QueryFinish'"
    ).result_rows:
        written.append(("query_log", row))
    shown = empty.admin.query(
        "select create_table_query from system.tables where startsWith(database, 'treehouse')"
    ).result_rows
    written += [("system.tables", text) for (text,) in shown]
    written.append(("the server's log", empty.origin.log.read_text(errors="replace")))
    written += _contents(home)
    written += [(name, text) for name, text in _contents(empty.origin.data) if name.endswith("sql")]

    password = unquote(urlsplit(empty.url).password or "")
    planted = {
        TOKEN,
        password,
        quote(password),
        quote(password, safe=""),
        password.partition("/")[0],
    }
    pages = [text for name, text in written if name.endswith(f"{USE_CASE}.html")]
    assert ["Version 1" in text for text in pages] == [True]
    assert any("create table" in text for name, text in written if name.endswith("dbt.log"))
    assert sum(name == "query_log" for name, _ in written) > 100
    found = {(name, secret) for name, text in written for secret in planted if secret in text}
    assert found == set()
