"""Single commands: help, errors, exit codes, SQL, the install."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer.main
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from tests.conftest import Cli
from tests.support.some import some
from treehouse.cli.main import app, main
from treehouse.clickhouse.install import apply, install_plan, render_print
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.files import write_whole
from treehouse.project.settings import Settings, actor, project_vars

WITHOUT_JSON = {"metrics", "dbt", "install", "test"}  # these have a format of their own
CLOSED = "http://127.0.0.1:1"
Done = subprocess.CompletedProcess[str]
COMMANDS = {
    command.name or getattr(command.callback, "__name__", "") or "": command
    for group in app.registered_groups
    if group.typer_instance is not None and not group.name
    for command in group.typer_instance.registered_commands
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line as `python -m treehouse` starts it, but in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["treehouse", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        code = stopped.value.code
        assert isinstance(code, int)
        return Done(arguments, code, *capsys.readouterr())

    return run


@pytest.fixture
def nothing_trained(settings: Settings) -> Iterator[None]:
    """The home folder without what other tests of this process have trained."""
    trained, aside = settings.home / "trained", settings.home / "trained.aside"
    if trained.exists():
        trained.rename(aside)
    yield
    if aside.exists():
        aside.rename(trained)


def error_of(done: Done) -> dict[str, Any]:
    """The error of a command with --json: an object on stdout, the same for people on stderr."""
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["error"].splitlines()[0] in done.stderr
    return found


def test_all_commands_are_there() -> None:
    wanted = (
        "demo simulate load reconcile build train publish promote rollback retire gc sync sql dbt "
        "status doctor install test"
    )
    assert set(wanted.split()) <= set(COMMANDS)
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {"bench", "models"} <= set(groups)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"dbt"}))
def test_help_says_what_a_command_does_and_how_it_is_called(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    about = (COMMANDS[name].callback.__doc__ or "").split()
    assert len(about) >= 4
    assert " ".join(about) in " ".join(shown.output.split())
    assert "Example: ./treehouse " in shown.output


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below one, by its words."""
    below = getattr(command, "commands", {})
    if not below:
        yield path.strip(), command
    for name, one in below.items():
        yield from leaves(one, f"{path} {name}")


def test_every_command_has_an_example_help_of_each_option_and_json() -> None:
    found = dict(leaves(typer.main.get_command(app)))
    assert len(found) > 40
    for name, command in found.items():
        words = name.removesuffix(" list")
        assert re.match(rf"Example: \./treehouse (--target server )?{words}", command.epilog), name
        parameters = [p for p in command.params if p.name != "help"]
        assert not [p.name for p in parameters if not p.help], name
        if name not in WITHOUT_JSON:
            assert "json" in {p.name for p in parameters}, name


def test_help_of_all_lists_every_command_with_what_it_does(run_cli: Cli) -> None:
    shown = run_cli("--help").stdout
    for name, command in COMMANDS.items():
        first = (command.callback.__doc__ or "").split()[0]
        assert any(line.split()[1:3] == [name, first] for line in shown.splitlines()), name


def test_help_of_dbt_is_dbts_own(run_cli: Cli) -> None:
    assert "An ELT tool for managing your SQL" in run_cli("dbt", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nonsense",), 2, "No such command 'nonsense'"),
        (("promote", "ltv"), 2, "Missing argument"),
        (("install", "--yes"), 2, "--print, --roles or --to"),
        (("--target", "cloud", "status"), 2, "embedded or server"),
        (("train", "ltvv"), 2, "did you mean ltv?"),
        (("models", "ltvv"), 2, "did you mean ltv?"),
        (("publish", "ltv"), 2, "./treehouse train ltv"),
        (("publish", "ltvv"), 2, "did you mean ltv?"),
        (("load", "purchases", "x.csv", "--map", "buyer"), 2, "got:      buyer"),
        (("load", "purchases", "x.csv", "--map", "=customer_id"), 2, "got:      =customer_id"),
        (("load", "sales", "x.csv"), 2, "events, installs, purchases"),
        (("simulate", "--end", "tomorrow"), 2, "'tomorrow' does not match"),
        (("sql", "select no_such_column"), 2, "UNKNOWN_IDENTIFIER"),
        (("sql", " "), 2, "say a statement"),
        (("build", "--select", "no_such_model"), 2, "./treehouse dbt ls"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.usefixtures("nothing_trained")
def test_exit_codes_and_messages(
    run: Callable[..., Done], arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr


def test_a_second_process_is_told_who_holds_the_data(
    run_cli: Cli, client: Client, settings: Settings
) -> None:
    assert client.query("select 1").result_rows == [(1,)]
    done = run_cli("status", "--json", home=settings.home, check=False)
    error = error_of(done)
    assert error["value"].startswith(f"{settings.home} is held by process {os.getpid()} (")
    assert "TREEHOUSE_HOME" in error["fix"]
    assert "Code: 36" not in done.stderr


def test_a_home_that_cannot_be_written_is_named(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = error_of(run_cli("models", "--json", home=tmp_path / "file" / "home", check=False))
    assert str(tmp_path / "file") in error["value"]
    assert "TREEHOUSE_HOME" in error["fix"]


@pytest.mark.parametrize(
    ("url", "message", "value"),
    [
        (CLOSED, "No ClickHouse answers at 127.0.0.1:1.", "refused"),
        ("127.0.0.1:8123", "CLICKHOUSE_URL could not be read.", "127.0.0.1:8123"),
        ("http://h:eighty", "CLICKHOUSE_URL could not be read.", "http://h:eighty"),
        ("postgres://u:secret@h/x", "CLICKHOUSE_URL could not be read.", "postgres"),
        ("u:secret@h:8123", "CLICKHOUSE_URL could not be read.", "h:8123"),
        ("http://u:se@secret@h:port", "CLICKHOUSE_URL could not be read.", "h:port"),
        ("http://u:12/secret@h:8123", "CLICKHOUSE_URL could not be read.", "h:8123"),
        ("http://u:12#secret@h:8123", "CLICKHOUSE_URL could not be read.", "h:8123"),
        ("http://u:?secret@h:8123", "CLICKHOUSE_URL could not be read.", "h:8123"),
        ("http://u:secret#h:8123", "CLICKHOUSE_URL could not be read.", "http"),
    ],
)
def test_a_server_that_is_not_there_is_named(
    run_cli: Cli, url: str, message: str, value: str
) -> None:
    done = run_cli("--target", "server", "status", "--json", CLICKHOUSE_URL=url, check=False)
    error = error_of(done)
    assert (error["error"], value in error["value"]) == (message, True)
    assert "CLICKHOUSE_URL" in str(error["fix"]) or "http://" in str(error["expected"])
    assert "secret" not in done.stdout + done.stderr


def test_surroundings_that_make_no_sense_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PORT", "eighty")
    with pytest.raises(TreehouseError, match="CLICKHOUSE_PORT"):
        Settings.from_environment("server")
    for size in ("lots", "0", "1M"):
        monkeypatch.setenv("TREEHOUSE_MEMORY", size)
        with pytest.raises(TreehouseError, match=f"got:      {size}"):
            Settings.from_environment("embedded")


def test_dbt_without_a_server_fails_with_words(run_cli: Cli) -> None:
    done = run_cli("--target", "server", "build", "--json", CLICKHOUSE_URL=CLOSED, check=False)
    assert "./treehouse" in error_of(done)["fix"]


def test_statements_without_rows(run: Callable[..., Done]) -> None:
    for statement in (
        "create database if not exists treehouse_commands engine = Atomic",
        "create table treehouse_commands.t (a Int32, b String) engine = MergeTree order by a",
        "insert into treehouse_commands.t select 1, 'x'",
        "/* a comment */ alter table treehouse_commands.t add column c Int8",
    ):
        done = run("sql", statement)
        assert (done.stdout, done.stderr) == ("", "Done; no rows.\n")
    assert json.loads(run("sql", "select a, b from treehouse_commands.t", "--json").stdout) == [
        {"a": 1, "b": "x"}
    ]
    nothing = run("sql", "select a from treehouse_commands.t where a > 9", "--json")
    assert json.loads(nothing.stdout) == []
    assert json.loads(run("sql", "drop database treehouse_commands", "--json").stdout) == []


def test_mark_up_in_names_and_values_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    values = ["[/nope]", r"a\[bold]x", "[1, 2]"]
    console.show_table(["[/x]", "[red]y", "z"], [values])
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[/x]", "[red]y", *values))


def test_json_has_no_nan_and_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    """Python writes them as they are, which no other reader takes."""
    console.show_json({"a": math.nan, "b": [math.inf, 1.5, (-math.inf,)], "c": {"d": math.nan}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": None, "b": [None, 1.5, [None]], "c": {"d": None},
    }  # fmt: skip


def test_a_disk_that_is_full_is_an_error_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.open", full)
        with pytest.raises(TreehouseError, match="No space left"):
            write_whole(tmp_path / "there", b"x")
    monkeypatch.setattr("treehouse.cli.main.app", full)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "No space left on device" in capsys.readouterr().err


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was started with --user 1234."""
    monkeypatch.setattr("getpass.getuser", Mock(side_effect=KeyError("uid not found")))
    assert actor() == f"uid {os.getuid()}"


def test_install_prints_what_it_would_write(run: Callable[..., Done], tmp_path: Path) -> None:
    shown = run("install", "--print").stdout
    assert shown == render_print(install_plan())
    subprocess.run(["sh", "-n"], input=shown, text=True, check=True)
    assert list(tmp_path.iterdir()) == []


def test_install_asks_before_it_writes(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    asked = run("install", "--to", str(tmp_path))
    assert asked.returncode == 1
    assert asked.stdout.count("to write") == len(install_plan(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert run("install", "--to", str(tmp_path), "--yes").returncode == 0
    assert all(file.is_current for file in some(install_plan(tmp_path)))
    assert apply(install_plan(tmp_path)) == []
    assert "to write" not in run("install", "--to", str(tmp_path)).stdout


def test_names_of_databases_come_from_dbts_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = project_vars()
    settings = Settings.from_environment("server")
    assert settings.raw_database == variables["raw_database"]
    assert settings.registry_database == variables["registry_database"]
    assert settings.database == "treehouse"
    monkeypatch.setattr(
        "treehouse.project.settings.project_vars", lambda: variables | {"raw_database": "x"}
    )
    assert Settings.from_environment("embedded").raw_database == "x"


def test_names_follow_another_profile(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = "{type: chdb, schema: \"{{ env_var('NAME', 'mine') }}\"}"
    (tmp_path / "profiles.yml").write_text(f"treehouse: {{outputs: {{embedded: {output}}}}}\n")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    assert Settings.from_environment("embedded").database == "mine"
    monkeypatch.setenv("NAME", "theirs")
    assert Settings.from_environment("embedded").database == "theirs"
    error = error_of(run_cli("--target", "server", "status", "--json", check=False))
    assert "treehouse.outputs.server" in error["value"]
