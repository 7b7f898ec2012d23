"""The log of runs: one run of a model at a time, and a killed one is written down as such."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TARGETS, Engine
from tests.support.dying import dies
from treehouse.clickhouse import turns
from treehouse.clickhouse.state import ensure_registry
from treehouse.clickhouse.turns import BusyError
from treehouse.retrain.log import ensure_runs, list_runs, running

MODEL = "a model"
_DYING = """
import os, signal
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.state import ensure_registry
from treehouse.retrain.log import ensure_runs, running
from treehouse.project.settings import Settings
settings = Settings.from_environment()
client = connect(settings)
ensure_registry(client, settings)
ensure_runs(client, settings)
with running(client, settings, "a model", "age", "old") as run:
    run.enter("fit")
    print(run.number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log(engine: Engine) -> Engine:
    """Each engine in turn, with a log in which nothing runs."""
    ensure_registry(engine.client, engine.settings)
    empty(engine)
    ensure_runs(engine.client, engine.settings)
    return engine


def empty(engine: Engine) -> None:
    for table in ("run_steps", "turns"):
        engine.client.command(f"drop table if exists treehouse_registry.{table} sync")


def listed(log: Engine) -> list[tuple[Any, ...]]:
    """Number, outcome and step of each run, newest first."""
    return [(r["run"], r["outcome"], r["step"]) for r in list_runs(log.client, log.settings, MODEL)]


def test_one_run_at_a_time(log: Engine) -> None:
    with running(log.client, log.settings, MODEL, "hand", "asked for") as first:
        with (
            pytest.raises(BusyError, match=f"process {os.getpid()} on {socket.gethostname()}"),
            running(log.client, log.settings, MODEL, "hand", ""),
        ):
            pytest.fail("two at a time")
        with running(log.client, log.settings, "another", "hand", "") as other:
            assert other.number == 1
        first.enter("fit")
        first.end("published", "fine")
    with running(log.client, log.settings, MODEL, "hand", "asked for") as second:
        assert second.number == 2
        assert listed(log) == [(2, "running", "start"), (1, "published", "fit")]
        newest, oldest = list_runs(log.client, log.settings, MODEL)
    told = ("fine", "hand", "asked for")
    assert (oldest["detail"], oldest["trigger"], oldest["reason"]) == told
    assert oldest["finished_at"] >= oldest["started_at"]
    assert newest["finished_at"] is None


def test_who_was_counted_as_killed_does_not_go_on(log: Engine) -> None:
    with running(log.client, log.settings, MODEL, "hand", "") as late:
        turns._held.discard(late.turn.holder)
        log.client.command(
            "insert into treehouse_registry.turns (name, turn, holder) "
            f"values ('retrain {MODEL}', {late.turn.number + 1}, generateUUIDv4())"
        )
        with pytest.raises(BusyError, match="lost its turn"):
            late.enter("publish")


def test_a_clock_that_was_ahead_hides_no_step(log: Engine) -> None:
    with running(log.client, log.settings, MODEL, "hand", "") as run:
        log.client.command(
            "insert into treehouse_registry.run_steps select * replace("
            "toDateTime64('2099-01-01', 6, 'UTC') as at, 'from the future' as step) "
            f"from treehouse_registry.run_steps where model = '{MODEL}'"
        )
        run.enter("fit")
        assert listed(log) == [(1, "running", "fit")]


@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_process_lets_go(
    request: pytest.FixtureRequest, target: str, tmp_path: Path
) -> None:
    if target == "server":
        server = request.getfixturevalue("server")
        empty(server)

    assert dies(_DYING, target, tmp_path) == "1\n"
    if target == "embedded":
        assert dies(_DYING, target, tmp_path) == "2\n", (
            "the home folder, and in it the model, is free"
        )
    else:
        with running(server.client, server.settings, MODEL, "hand", "") as run:
            assert run.number == 2
        assert listed(server) == [(2, "running", "start"), (1, "killed", "fit")]
