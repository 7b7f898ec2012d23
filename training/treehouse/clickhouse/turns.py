"""One at a time: the only way in which a command keeps a second one from doing the same.

A turn of a name is taken by inserting its number, one above the last, with that number as the
deduplication token: where several try, on one machine or on many, the engine keeps the first row,
and who reads another's there has lost. An engine without transactions can do no more: it decides
who begins, but can't hold back the statement of a process that was silent for so long that it
counted as dead. Such a process finds out at its next `check`.

Who holds a turn shows life from a thread of its own. A process that was killed lets go: at once for
commands on the same machine, which see that it is gone; for others once it has been silent for
`LEASE_SECONDS`, and for a few beats more while they watch, since clocks may jump. The embedded
engine lets one process in at a time (engine.py), so there a turn of another process is over.

The table is in macros/state/turns.sql.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import command, connect, identifier
from treehouse.clickhouse.ddl import MACROS, is_there, run_ddl, storage
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, actor

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
_WATCHED_BEATS = 2.5
_POLL_SECONDS = 0.05
_OWN = '{"treehouse": "turns"}'  # in the log_comment: no collection takes it for somebody's query
_held: set[uuid.UUID] = set()  # turns of this process


class BusyError(TreehouseError):
    """Somebody else is at it."""


@dataclass(frozen=True)
class Holder:
    """Whose turn it is: the columns of `turns`."""

    name: str
    turn: int
    holder: uuid.UUID
    began_at: datetime
    beats: int
    is_over: bool
    host: str
    place: str
    process: int
    started: int
    command: str
    actor: str
    silent_seconds: float
    lasted_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.command} by {self.actor}, process {self.process} on {self.host}, "
            f"since {self.began_at:%Y-%m-%d %H:%M:%S} UTC ({self.lasted_seconds:,.0f} s)"
        )


@dataclass(frozen=True)
class Turn:
    """A turn that this process holds."""

    client: Client
    settings: Settings
    name: str
    number: int
    holder: uuid.UUID

    def check(self) -> None:
        """See that it is still ours, before something that must not be done twice.

        Raises:
            BusyError: This process was silent for so long that another one took the turn.
        """
        latest = _latest(self.client, self.settings, self.name)
        if latest is None or latest.holder != self.holder or latest.is_over:
            raise BusyError(
                f"This process lost its turn: {self.name}.",
                value=latest or "its row is gone",
                expected=f"a sign of life every {LEASE_SECONDS:g} seconds",
                fix="run it again",
            )


@contextmanager
def alone(
    client: Client, settings: Settings, *names: str, wait_seconds: float = 0.0
) -> Iterator[Turn]:
    """Do something that nobody else may do at the same time, anywhere on this engine.

    Args:
        client: Of the settings' target.
        settings: Whose registry has the table.
        names: What is done, with its object: "load events". Of several, all are taken, in the
            order of the alphabet, so that no two wait for each other; the first one's turn is
            yielded.
        wait_seconds: For how long to wait until it is free; 0 refuses at once.

    Raises:
        BusyError: Somebody is at it; it says who, since when, and what to do.
    """
    if not is_there(client, settings.registry_database, "turns"):
        run_ddl(
            client,
            MACROS / "state" / "turns.sql",
            "turns_ddl",
            _registry(settings),
            **storage(settings),
        )
    with ExitStack() as taken:
        turns = {
            name: taken.enter_context(_hold(client, settings, name, wait_seconds))
            for name in sorted(set(names))
        }
        yield turns[names[0]]


def holders(client: Client, settings: Settings, prefix: str) -> list[Holder]:
    """Whose turn it is now, of every name that begins so."""
    if not is_there(client, settings.registry_database, "turns"):
        return []
    names = client.query(
        f"select distinct name from {_registry(settings)}.turns "
        "where startsWith(name, {p:String})",
        parameters={"p": prefix},
    ).result_rows
    found = [_latest(client, settings, name) for (name,) in names]
    return [one for one in found if one and not one.is_over and _is_alive(client, settings, one)]


@contextmanager
def _hold(client: Client, settings: Settings, name: str, wait_seconds: float) -> Iterator[Turn]:
    turn = _take(client, settings, name, wait_seconds)
    stop = threading.Event()
    beating = None
    if settings.target != "embedded":  # where nobody could take it for dead
        beating = threading.Thread(target=_beat, args=(settings, turn, stop), daemon=True)
        beating.start()
    try:
        yield turn
    finally:
        stop.set()
        if beating:
            beating.join()
        _held.discard(turn.holder)
        with suppress(ClickHouseError):  # the engine is gone: the turn ends with this process
            _insert(client, settings, name, turn.number, turn.holder, is_over=1)


def _take(client: Client, settings: Settings, name: str, wait_seconds: float) -> Turn:
    deadline = time.monotonic() + wait_seconds
    while True:
        latest = _latest(client, settings, name)
        if latest is None or latest.is_over or not _is_alive(client, settings, latest):
            turn = Turn(client, settings, name, latest.turn + 1 if latest else 1, uuid.uuid4())
            _held.add(turn.holder)  # before the row is seen: nobody may take us for dead
            token = f"{name} {turn.number} after {latest.holder if latest else ''}"
            _insert(client, settings, name, turn.number, turn.holder, token=token)
            latest = _latest(client, settings, name)
            if latest and latest.holder == turn.holder:
                return turn
            _held.discard(turn.holder)
        if time.monotonic() >= deadline:
            raise BusyError(
                f"Only one at a time: {name}.",
                value=latest,
                expected="nobody else at it",
                fix=_fix(latest),
            )
        time.sleep(_POLL_SECONDS)


def _fix(latest: Holder | None) -> str:
    if latest is None:
        return "run it again"
    return (
        f"wait until it has ended, or end it on {latest.host}: kill {latest.process}; "
        f"it lets go within {LEASE_SECONDS:g} seconds"
    )


def _beat(settings: Settings, turn: Turn, stop: threading.Event) -> None:
    """Show life until told to stop; a beat that fails is made up for by the next one."""
    client = None
    while not stop.wait(BEAT_SECONDS):
        with suppress(ClickHouseError, TreehouseError, OSError):
            client = client or connect(settings)
            _insert(client, settings, turn.name, turn.number, turn.holder, beats=1)
    if client:
        client.close()


def _is_alive(client: Client, settings: Settings, holder: Holder) -> bool:
    """Whether the process of a turn that is not over is still at it."""
    if holder.holder in _held:
        return True
    if settings.target == "embedded":
        return False
    if holder.place == place():
        return started(holder.process) == holder.started
    if 0 <= holder.silent_seconds <= LEASE_SECONDS:
        return True
    # Silent for long, or a clock jumped: beats tell which.
    deadline = time.monotonic() + _WATCHED_BEATS * BEAT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(BEAT_SECONDS / 10)
        latest = _latest(client, settings, holder.name)
        if latest is None or latest.holder != holder.holder or latest.is_over:
            return latest is not None and not latest.is_over
        if latest.beats != holder.beats:
            return True
    return False


def started(process: int) -> int:
    """When a process of this namespace was started, in ticks since the boot; 0 if it is gone.

    Numbers of processes are used again, this with its number is not.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    if sys.platform == "linux":
        return 0
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:  # somebody else's
        return 1
    return 1


@cache
def place() -> str:
    """What process numbers are of: this boot of this machine, and the namespace of a container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _registry(settings: Settings) -> str:
    return identifier(settings.registry_database)


def _latest(client: Client, settings: Settings, name: str) -> Holder | None:
    """The newest turn of a name. Times are the engine's own: clocks of machines don't matter."""
    result = client.query(
        f"""
        select
            name,
            t.turn as turn,
            min(t.holder) as holder,
            min(t.began_at) as began_at,
            sum(t.beats) as beats,
            max(t.is_over) as is_over,
            any(t.host) as host,
            any(t.place) as place,
            any(t.process) as process,
            any(t.started) as started,
            any(t.command) as command,
            any(t.actor) as actor,
            dateDiff('millisecond', max(t.seen_at), now64(6)) / 1000 as silent_seconds,
            dateDiff('millisecond', min(t.began_at), now64(6)) / 1000 as lasted_seconds
        from {_registry(settings)}.turns as t
        where name = {{name:String}} and t.turn = (
            select max(turn) from {_registry(settings)}.turns where name = {{name:String}}
        )
        group by name, turn
        """,
        parameters={"name": name},
        settings={"log_comment": _OWN},
    )
    row = next(iter(result.named_results()), None)
    return Holder(**row | {"is_over": bool(row["is_over"])}) if row else None


def _insert(
    client: Client,
    settings: Settings,
    name: str,
    number: int,
    holder: uuid.UUID,
    token: str = "",
    **values: Any,
) -> None:
    row = {
        "name": name,
        "turn": number,
        "holder": holder,
        "host": socket.gethostname(),
        "place": place(),
        "process": os.getpid(),
        "started": started(os.getpid()),
        "command": command(),
        "actor": actor(),
        **values,
    }
    client.insert(
        "turns",
        [list(row.values())],
        column_names=list(row),
        database=settings.registry_database,
        settings={
            # Equal rows are no duplicates of one another: only the token of a first row is.
            "insert_deduplication_token": token or str(uuid.uuid4()),
            "async_insert": 0,  # several would be stored as one
        },
    )
