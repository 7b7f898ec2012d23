"""The tables that a load works in, and what an interrupted load left of them.

Their names say whose they are. A load is alive as long as the engine runs a query on one of them:
that holds across machines, needs no heartbeat, and sees a query that outlived its client.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.layout import Progress
from treehouse.project.errors import TreehouseError

_PREFIX = "_load"
LOOKS = 4  # a load runs one query after the other, with milliseconds between
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 30.0  # a query whose client was killed ends by itself


@dataclass(frozen=True)
class Scratch:
    """The tables of one load.

    Attributes:
        database: Where they are.
        source: What is loaded.
        load_id: Of the load.
    """

    database: str
    source: str
    load_id: str

    @classmethod
    def new(cls, database: str, source: str) -> Scratch:
        """Of a load that begins now."""
        return cls(database, source, f"{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid4().hex[:8]}")

    @property
    def prefix(self) -> str:
        """What the names of its tables begin with."""
        return f"{_PREFIX}__{self.source}__{self.load_id}__"

    def table(self, purpose: str) -> str:
        """Qualified name of a table."""
        return f"{identifier(self.database)}.{identifier(self.prefix + purpose)}"

    def drop(self, client: Client) -> None:
        """Drop what there is of them."""
        for purpose in ("landing", "staged", "fresh", "rates"):
            client.command(f"drop table if exists {self.table(purpose)}")


def clear_interrupted(client: Client, scratch: Scratch, progress: Progress) -> tuple[str, ...]:
    """Drop the tables of earlier loads of the same source that are not alive.

    Returns:
        Ids of the loads that had not finished.

    Raises:
        TreehouseError: A load of the source is running.
    """
    found = client.query(
        f"select distinct splitByString('__', name)[3] from system.tables "
        f"where database = {literal(scratch.database)} "
        f"and startsWith(name, {literal(f'{_PREFIX}__{scratch.source}__')}) order by 1"
    )
    left = [Scratch(scratch.database, scratch.source, row[0]) for row in found.result_rows]
    for one in left:
        _wait(client, one, progress)
        one.drop(client)
    ids = ", ".join(literal(one.load_id) for one in left) or "''"
    log = f"{identifier(scratch.database)}.load_log"
    finished = client.query(f"select load_id from {log} where load_id in ({ids})").result_rows
    return tuple(one.load_id for one in left if (one.load_id,) not in finished)


def _wait(client: Client, scratch: Scratch, progress: Progress) -> None:
    """Wait until no query has been seen on a load's tables for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    quiet = 0
    while quiet < LOOKS:
        if not _is_alive(client, scratch):
            quiet += 1
        elif time.monotonic() < deadline:
            quiet = 0
            progress(f"wait for load {scratch.load_id}", None, None)
        else:
            raise TreehouseError(
                f"Another load of {scratch.source} is running.",
                value=f"load {scratch.load_id}",
                expected="one load of a source at a time",
                fix="wait until it has ended",
            )
        time.sleep(LOOK_SECONDS)


def _is_alive(client: Client, scratch: Scratch) -> bool:
    """Whether the engine runs a query on a load's tables."""
    found = number(
        client,
        "select count() from system.processes "
        f"where position(query, {literal(scratch.prefix)}) > 0 "
        "and position(query, 'system.processes') = 0",
    )
    return found > 0


def number(client: Client, sql: str) -> int:
    """The one number that a query answers."""
    return int(client.query(sql).result_rows[0][0])
