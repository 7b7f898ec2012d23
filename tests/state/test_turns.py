"""One at a time: who is second hears who is first, and a killed process lets go."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import TARGETS, Engine
from tests.support.dying import dies
from treehouse.clickhouse import turns
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.turns import LEASE_SECONDS, BusyError, alone, holders

NAME = "load of a test's own"
_DYING = """
import os, signal
from treehouse.clickhouse.client import connect
from treehouse.project.settings import Settings
from treehouse.clickhouse.turns import alone
settings = Settings.from_environment()
with alone(connect(settings), settings, "load of a test's own") as turn:
    print(turn.number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def free(engine: Engine) -> Iterator[Engine]:
    """Each engine in turn, where nobody is at anything."""
    engine.client.command("drop table if exists treehouse_registry.turns sync")
    yield engine
    engine.client.command("drop table if exists treehouse_registry.turns sync")


def insert(engine: Engine, **values: object) -> None:
    """A row of somebody else's turn."""
    row = {"name": f"'{NAME.replace(chr(39), chr(39) * 2)}'", "turn": 1, "process": 7} | values
    row = {"holder": "toUUID('00000000-0000-0000-0000-000000000007')"} | row
    engine.client.command(
        f"insert into treehouse_registry.turns ({', '.join(row)}) "
        f"select {', '.join(map(str, row.values()))}"
    )


def test_the_second_hears_who_is_first(free: Engine) -> None:
    with (
        alone(free.client, free.settings, NAME) as turn,
        pytest.raises(BusyError) as error,
        alone(free.client, free.settings, NAME),
    ):
        pytest.fail("two at a time")
    assert turn.number == 1
    told = str(error.value)
    assert f"process {os.getpid()} on {socket.gethostname()}" in told
    assert "UTC" in told
    assert f"kill {os.getpid()}" in told
    with (
        alone(free.client, free.settings, NAME) as turn,
        alone(free.client, free.settings, "another"),
    ):
        assert turn.number == 2


def test_a_failure_lets_go(free: Engine) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), alone(free.client, free.settings, NAME):
            raise ZeroDivisionError


def test_of_many_at_once_one_has_it_at_any_time(free: Engine) -> None:
    """Each waits for its turn and finds nobody else in the room."""
    inside, most, done = [0], [0], [0]

    def attempt(_: int) -> None:
        client = connect(free.settings)
        with alone(client, free.settings, NAME, wait_seconds=120):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1
            done[0] += 1
        client.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(24)))
    assert (most[0], done[0]) == (1, 24)


def test_of_many_that_do_not_wait_one_begins(free: Engine) -> None:
    with alone(free.client, free.settings, "another"):  # the table is there
        pass
    barrier, over = threading.Barrier(8), threading.Event()

    def attempt(_: int) -> bool:
        client = connect(free.settings)
        barrier.wait()
        try:
            with alone(client, free.settings, NAME):
                over.wait(60)
                return True
        except BusyError:
            return False
        finally:
            client.close()

    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(attempt, n) for n in range(8)]
        while sum(one.done() for one in attempts) < 7:
            time.sleep(0.05)
        over.set()
        assert sum(one.result() for one in attempts) == 1


@pytest.mark.parametrize("silent", [5, LEASE_SECONDS + 60, -3600])
@pytest.mark.parametrize("beating", [False, True])
def test_somebody_elsewhere_has_it_as_long_as_beats_come(
    free: Engine, silent: int, beating: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock says. On the embedded engine nobody is elsewhere: that turn is over."""
    monkeypatch.setattr(turns, "BEAT_SECONDS", 1.0)
    with alone(free.client, free.settings, "another"):
        pass
    at = f"now64(6) - {silent}"
    insert(free, host="'elsewhere'", place="'elsewhere'", began_at=at, seen_at=at)
    stop = threading.Event()

    def beat() -> None:
        client = connect(free.settings)
        while not stop.wait(0.2):
            insert(Engine(free.settings, client), began_at=at, seen_at=at, beats=1)
        client.close()

    other = threading.Thread(target=beat)
    if beating:
        other.start()
    try:
        if free.target == "server" and (beating or silent == 5):
            with (
                pytest.raises(BusyError, match="process 7 on elsewhere"),
                alone(free.client, free.settings, NAME),
            ):
                pytest.fail("two at a time")
            assert [one.process for one in holders(free.client, free.settings, "load")] == [7]
        else:
            with alone(free.client, free.settings, NAME) as turn:
                assert turn.number == 2
    finally:
        stop.set()
        if beating:
            other.join()


def test_life_is_shown_without_help(free: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if free.target == "embedded":
        pytest.skip("nobody else could take it for dead")
    monkeypatch.setattr(turns, "BEAT_SECONDS", 0.1)
    with alone(free.client, free.settings, NAME):
        for _ in range(200):
            (holder,) = holders(free.client, free.settings, NAME)
            if holder.beats >= 2:
                break
            time.sleep(0.05)
        assert holder.beats >= 2


def test_a_process_number_used_again_holds_nothing(free: Engine) -> None:
    """As in a container, where each start has the same number, or after millions of them."""
    with alone(free.client, free.settings, "another"):
        pass
    for number, process in enumerate((os.getpid(), os.getppid()), 1):
        insert(free, place=f"'{turns.place()}'", process=process, started=1, turn=2 * number)
        with alone(free.client, free.settings, NAME) as turn:
            assert turn.number == 2 * number + 1


def test_who_was_counted_as_dead_does_not_go_on(free: Engine) -> None:
    with alone(free.client, free.settings, NAME) as late:
        late.check()
        turns._held.discard(late.holder)
        insert(free, turn=late.number + 1)
        with pytest.raises(BusyError, match="lost its turn"):
            late.check()


@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_process_lets_go_at_once(
    request: pytest.FixtureRequest, target: str, tmp_path: Path
) -> None:
    if target == "server":
        server: Engine = request.getfixturevalue("server")
        server.client.command("drop table if exists treehouse_registry.turns sync")

    assert dies(_DYING, target, tmp_path) == "1\n"
    assert dies(_DYING, target, tmp_path) == "2\n"


def test_several_turns_are_taken_in_one_order(free: Engine) -> None:
    """Else two commands that want the same two could wait for each other."""

    def attempt(names: tuple[str, str]) -> None:
        client = connect(free.settings)
        with alone(client, free.settings, *names, wait_seconds=60) as turn:
            assert turn.name == names[0]
        client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, [("load a", "load b"), ("load b", "load a")] * 4))
