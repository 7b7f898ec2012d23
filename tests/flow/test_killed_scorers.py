"""Scorers die under load: each costs at most one query, and no answer is wrong or short."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine, RunningServer
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.clickhouse.client import connect

CLIENTS = 3
KILLS = 24
ROWS = 60_000
#: What one query answers: rows, shortest and longest answer, sum of both heads.
RIGHT = (ROWS, 3, 3, ROWS * (ROWS - 1) + ROWS // 2)


@dataclass
class Load:
    """Clients that ask on and on, and what became of their queries."""

    query: str
    answers: list[tuple[int, ...]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: Client) -> None:
        """One query; its answer or its failure is noted."""
        try:
            row = client.query(self.query).result_rows[0]
        except ClickHouseError as error:
            self.failures.append(str(error))
        else:
            self.answers.append(tuple(int(value) for value in row))

    @contextmanager
    def running(self, clients: list[Client]) -> Iterator[None]:
        """Every client asks in a thread of its own until the end of the block."""

        def work(client: Client) -> None:
            while not self.stopped.is_set():
                self.ask(client)

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()


def folder_of(engine: Engine) -> Path:
    """Where the engine has its scripts and model files."""
    if engine.target == "embedded":
        return engine.settings.home
    data = cast(RunningServer, engine).origin.data
    if data is None:
        pytest.skip("somebody else's server: its processes are not here")
    return data


def scorers(program: Path) -> list[int]:
    """Living processes that score by this program; one that was killed has no program any more.

    Not those that explain: this test would leave them dead for another one to find.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                is_it = os.readlink(entry / "exe") == str(program)
                if is_it and b"explain" not in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def kill_some(program: Path) -> set[int]:
    """Kill scorers at random, each once."""
    chance, killed = random.Random(7), set[int]()
    deadline = time.monotonic() + 60
    while len(killed) < KILLS and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.02, 0.2))
        living = [pid for pid in scorers(program) if pid not in killed]
        if living:
            pid = chance.choice(living)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    return killed


def left_dead(killed: set[int]) -> set[int]:
    """Those that the engine has not yet noticed to be dead."""
    return {pid for pid in killed if Path(f"/proc/{pid}").exists()}


def test_a_killed_scorer_costs_at_most_one_query(engine: Engine) -> None:
    folder = folder_of(engine)
    inputs = Inputs(("x",), {"c": ("a", "b")})
    heads = {"double": e.feature("x") * 2, "code": e.feature("c")}
    data = Bundle("killed", 1, "c", inputs, (), heads).to_bytes()
    files = folder / "user_files" / "treehouse"
    files.mkdir(parents=True, exist_ok=True)
    (files / f"{bundle_id(data):016x}.bundle").write_bytes(data)
    load = Load(
        "select count(), min(length(h)), max(length(h)), sum(h[2] + h[3]) from (select "
        f"treehouse_score(toUInt64({bundle_id(data)}), [toFloat64(number)], "
        f"[if(number % 2 = 0, 'a', 'b')]) as h from numbers({ROWS})) "
        "settings max_block_size = 40000"
    )
    clients = [connect(engine.settings) for _ in range(CLIENTS)]
    with load.running(clients):
        killed = kill_some((folder / "user_scripts" / "treehouse-scorer").resolve())
    assert len(killed) == KILLS
    # A process that died while it waited for work fails the query that gets it next, and is a
    # zombie until then. They wait in a stack: more queries at once than before reach the lowest.
    answered = len(load.answers)
    clients += [connect(engine.settings) for _ in range(CLIENTS)]
    load.stopped.clear()
    with load.running(clients):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (
            left_dead(killed) or len(load.answers) < answered + 10 * CLIENTS
        ):
            time.sleep(0.05)
    for client in clients:
        client.close()
    assert left_dead(killed) == set()  # or another test would find it
    assert len(load.answers) >= answered + 10 * CLIENTS, load.failures
    assert len(load.failures) <= len(killed), load.failures
    assert len(load.answers) > 2 * CLIENTS
    assert set(load.answers) == {RIGHT}
