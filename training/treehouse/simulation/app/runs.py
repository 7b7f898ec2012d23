"""`simulate`: one simulation at a time, that can be repeated, resumed, enlarged and replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.turns import alone
from treehouse.ingest.sources import ensure_raw, find_source, writing
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.simulation.app.parameters import BLOCK_USERS, Parameters
from treehouse.simulation.app.runlog import Run, Step, append, ensure_log, last_step
from treehouse.simulation.app.store import BATCH_BLOCKS, TRUTH_DATABASE, ensure_truth, write_batch

MAX_USERS = 10_000_000
"""Ids have seven digits."""
DEFAULT_END = date(2026, 6, 30)
Progress = Callable[[int, int], None]

_OWN = "match(user_id, '^u[0-9]{7}$')"


@dataclass(frozen=True)
class SimulationReport:
    """What a call of `simulate` did.

    Attributes:
        installs, events: Rows of the simulation in the sources now.
        users_before: Users that were there already, from an earlier or interrupted call.
        already_simulated: Whether there was nothing to do.
        replaced: Whether an earlier simulation was removed; what materialized views keep of it
            is to be rebuilt.
        seconds: Wall-clock time.
    """

    installs: int
    events: int
    users_before: int
    already_simulated: bool
    replaced: bool
    seconds: float


def simulate(
    client: Client,
    settings: Settings,
    *,
    users: int = 20_000,
    seed: int = 1,
    end: date = DEFAULT_END,
    parameters: Parameters | None = None,
    replace: bool = False,
    beside_others: bool = False,
    progress: Progress | None = None,
) -> SimulationReport:
    """Fill the sources `events` and `installs`, and the true values beside them.

    The same arguments give the same rows, whatever was interrupted on the way; more users of
    the same run are added to those that are there.

    Args:
        client: Of the engine.
        settings: Where the sources are.
        users: How many, 1 to 10 million.
        seed: 0 or more.
        end: The present: events of this day (UTC) and later are not seen.
        parameters: Of the generative model; None takes the defaults.
        replace: Remove an earlier, different simulation first.
        beside_others: Write although the sources hold rows that the simulator did not write.
            Those are never removed.
        progress: Called with the users done and `users`.

    Raises:
        TreehouseError: The sources hold another simulation or somebody's rows, or an argument
            is out of range.
    """
    _check(users, seed)
    parameters = parameters or Parameters()
    run = Run.of(seed, end, parameters)
    turns = [writing(settings, source) for source in ("events", "installs")]
    with alone(client, settings, *turns):
        return _simulate(
            client, settings, (run, users), parameters, replace, beside_others, progress
        )


def _simulate(
    client: Client,
    settings: Settings,
    asked: tuple[Run, int],
    parameters: Parameters,
    replace: bool,
    beside_others: bool,
    progress: Progress | None,
) -> SimulationReport:
    started, (run, users) = time.monotonic(), asked
    ensure_raw(client, settings)
    ensure_truth(client)
    ensure_log(client, settings)
    last = last_step(client, settings)
    goes_on = last is not None and last.run == run and last.users <= users
    if not goes_on:
        _make_room(client, settings, last, asked, replace, beside_others)
    before = _complete(client, settings, last) if last and goes_on else 0
    already = last is not None and last.state == "finished" and before == users
    if not already:
        append(client, settings, Step(run, "started", users, before))
        _write(client, settings, parameters, run, range(before, users), progress)
    if progress:
        progress(users, users)
    events = _count(client, settings, "events", _OWN)
    if not already:
        append(client, settings, Step(run, "finished", users, users, events))
    replaced = last is not None and not goes_on
    return SimulationReport(users, events, before, already, replaced, time.monotonic() - started)


def _make_room(
    client: Client,
    settings: Settings,
    last: Step | None,
    asked: tuple[Run, int],
    replace: bool,
    beside_others: bool,
) -> None:
    """See that the sources hold no simulation and nobody's rows, or what may stay."""
    if last is not None and not replace:
        raise _other_simulation(last, *asked)
    _refuse_others(client, settings, simulated=last is not None, allowed=beside_others)
    if last is not None:
        _remove(client, settings, last)


def _write(
    client: Client,
    settings: Settings,
    parameters: Parameters,
    run: Run,
    users: range,
    progress: Progress | None,
) -> None:
    """Write the users batch by batch, each remembered when it is complete."""
    last_block = -(-users.stop // BLOCK_USERS)
    for block in range(users.start // BLOCK_USERS, last_block, BATCH_BLOCKS):
        blocks = range(block, min(block + BATCH_BLOCKS, last_block))
        if progress:
            progress(min(block * BLOCK_USERS, users.stop), users.stop)
        write_batch(client, settings, parameters, (run.seed, run.end), users.stop, blocks)
        done = min(blocks.stop * BLOCK_USERS, users.stop)
        append(client, settings, Step(run, "written", users.stop, done))


def _check(users: int, seed: int) -> None:
    if not 1 <= users <= MAX_USERS:
        raise TreehouseError(
            "So many users can't be simulated.", value=users, expected=f"1 to {MAX_USERS:,}"
        )
    if seed < 0:
        raise TreehouseError("The seed is negative.", value=seed, expected="0 or more")


def _complete(client: Client, settings: Settings, last: Step) -> int:
    """Users that are complete: those remembered, or none if somebody removed rows since."""
    installs = _count(client, settings, "installs", _OWN)
    truths = _rows(client, f"{identifier(TRUTH_DATABASE)}.users", "1")
    events = _count(client, settings, "events", _OWN)
    enough = installs >= last.done and truths >= last.done and events >= last.events
    return last.done if enough else 0


def _count(client: Client, settings: Settings, source: str, where: str) -> int:
    return _rows(client, find_source(settings, source).qualified, where)


def _rows(client: Client, table: str, where: str) -> int:
    return int(client.query(f"select count() from {table} where {where}").result_rows[0][0])


def _both(client: Client, settings: Settings, where: str) -> int:
    """Rows of both sources."""
    return sum(_count(client, settings, source, where) for source in ("events", "installs"))


def _refuse_others(client: Client, settings: Settings, *, simulated: bool, allowed: bool) -> None:
    """Leave alone what others wrote, and what can't be told from the simulator's rows."""
    others = _both(client, settings, f"not {_OWN}" if simulated else "1")
    if others and not allowed:
        raise TreehouseError(
            "The sources hold rows that the simulator did not write.",
            value=f"{others:,} rows in events and installs of {settings.raw_database}",
            expected="empty sources, or an earlier simulation",
            fix="simulate into another raw_database, or beside them: "
            "./treehouse simulate --beside-others",
        )
    if not simulated and others and _both(client, settings, _OWN):
        raise TreehouseError(
            "The sources hold user ids like the simulator's, but no run that wrote them.",
            value=f"users such as u0000123 in {settings.raw_database}",
            expected="ids that can be told from simulated ones",
            fix="simulate into another raw_database",
        )


def _remove(client: Client, settings: Settings, last: Step) -> None:
    """Remove the simulator's rows, and nothing else; interrupted, it can be done again."""
    append(client, settings, Step(last.run, "removing", last.users))
    has_others = _both(client, settings, f"not {_OWN}") > 0
    for source in ("events", "installs"):
        table = find_source(settings, source).qualified
        client.command(
            f"delete from {table} where {_OWN}" if has_others else f"truncate table {table}"
        )
    client.command(f"truncate table {identifier(TRUTH_DATABASE)}.users")
    append(client, settings, Step(last.run, "removed", last.users))


def _other_simulation(last: Step, run: Run, users: int) -> TreehouseError:
    def text(which: Run, count: int) -> str:
        return f"{count:,} users, seed {which.seed}, to {which.end}, version {which.version}"

    same = " and other parameters" if last.run.parameters != run.parameters else ""
    return TreehouseError(
        "The sources hold another simulation.",
        value=f"{text(last.run, last.users)}; asked for {text(run, users)}{same}",
        expected="the same seed, end and parameters, and at least as many users",
        fix="replace it: ./treehouse simulate --replace",
    )
