"""The log of runs as a lock: one run of a model at a time, and a killed one lets go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TARGETS, Engine
from training import runs
from training.engine import connect
from training.errors import TreehouseError
from training.registry import ensure_registry
from training.runs import LEASE_SECONDS, BusyError, Run, begin, ensure_runs, list_runs
from training.settings import ROOT

MODEL = "a model"
_DYING = """
import os, signal
from training.engine import connect
from training.registry import ensure_registry
from training.runs import begin, ensure_runs
from training.settings import Settings
settings = Settings.from_environment()
client = connect(settings)
ensure_registry(client, settings)
ensure_runs(client, settings)
run = begin(client, settings, "a model", "age", "old")
run.enter("fit")
print(run.number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log(engine: Engine) -> Engine:
    """Each engine in turn, with a log in which nothing runs."""
    ensure_registry(engine.client, engine.settings)
    ensure_runs(engine.client, engine.settings)
    engine.client.command("drop table treehouse_registry.run_steps sync")
    ensure_runs(engine.client, engine.settings)
    return engine


def begun(log: Engine) -> Run:
    """A run of the model."""
    return begin(log.client, log.settings, MODEL, "hand", "asked for")


def listed(log: Engine) -> list[tuple[Any, ...]]:
    """Number, outcome and step of each run, newest first."""
    return [(r["run"], r["outcome"], r["step"]) for r in list_runs(log.client, log.settings, MODEL)]


def test_one_run_at_a_time(log: Engine) -> None:
    first = begun(log)
    with pytest.raises(BusyError) as error:
        begun(log)
    assert f"run 1, process {os.getpid()} on {socket.gethostname()}" in str(error.value)
    assert begin(log.client, log.settings, "another", "hand", "").number == 1
    first.enter("fit")
    first.end("published", "fine")
    assert begun(log).number == 2
    assert listed(log) == [(2, "running", "start"), (1, "published", "fit")]
    newest, oldest = list_runs(log.client, log.settings, MODEL)
    assert (oldest["detail"], oldest["trigger"], oldest["reason"]) == ("fine", "hand", "asked for")
    assert oldest["finished_at"] >= oldest["started_at"]
    assert newest["finished_at"] is None


def test_of_many_at_once_one_begins(log: Engine) -> None:
    def attempt(_: int) -> Run | None:
        client = connect(log.settings)
        try:
            return begin(client, log.settings, MODEL, "hand", "")
        except BusyError:
            return None
        finally:
            client.close()

    with ThreadPoolExecutor(8) as pool:
        won = [run for run in pool.map(attempt, range(8)) if run]
    assert [run.number for run in won] == [1]
    assert listed(log) == [(1, "running", "start")]


@pytest.mark.parametrize("silent", [60, LEASE_SECONDS + 60])
def test_a_run_elsewhere_holds_it_as_long_as_it_shows_life(log: Engine, silent: int) -> None:
    """On the embedded engine nobody is elsewhere: whoever held it is gone."""
    log.client.command(
        "insert into treehouse_registry.run_steps (at, model, run, run_id, step, host, process) "
        f"values (now64(6) - {silent}, '{MODEL}', 5, generateUUIDv4(), 'fit', 'elsewhere', 7)"
    )
    if log.target == "server" and silent < LEASE_SECONDS:
        with pytest.raises(BusyError, match="process 7 on elsewhere"):
            begun(log)
        assert listed(log) == [(5, "running", "fit")]
    else:
        assert begun(log).number == 6
        assert listed(log) == [(6, "running", "start"), (5, "killed", "fit")]


def test_a_process_number_used_again_holds_nothing(log: Engine) -> None:
    """As in a container, where each start has the same number."""
    run = begun(log)
    runs._held.discard(run.id)
    assert begun(log).number == 2
    assert listed(log)[1] == (1, "killed", "start")


def test_who_was_counted_as_killed_does_not_go_on(log: Engine) -> None:
    late = begun(log)
    runs._held.discard(late.id)
    begun(log)
    with pytest.raises(TreehouseError, match="no longer holds the model"):
        late.enter("publish")


def test_signs_of_life_come_now_and_then(log: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(log)
    count = f"select count() from treehouse_registry.run_steps where model = '{MODEL}'"
    run.sign_of_life("phase", 1, 2)
    assert log.client.query(count).result_rows == [(1,)]
    monkeypatch.setattr(runs, "_SIGN_OF_LIFE_SECONDS", -1)
    run.sign_of_life("phase", 2, 2)
    assert log.client.query(count).result_rows == [(2,)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_process_lets_go(
    request: pytest.FixtureRequest, target: str, tmp_path: Path
) -> None:
    own = {"TREEHOUSE_HOME": str(tmp_path), "TREEHOUSE_TARGET": target}
    if target == "server":
        server = request.getfixturevalue("server")
        server.client.command("drop table if exists treehouse_registry.run_steps sync")

    def dies() -> str:
        done = subprocess.run(
            [sys.executable, "-c", _DYING],
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        return done.stdout

    assert dies() == "1\n"
    if target == "embedded":
        assert dies() == "2\n", "the home folder, and in it the model, is free"
    else:
        assert begun(server).number == 2
        assert listed(server) == [(2, "running", "start"), (1, "killed", "fit")]
