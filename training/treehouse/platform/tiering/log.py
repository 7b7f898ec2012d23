"""The log of moves: append-only, one row when a move begins and one when it ends.

Its table is in macros/state/tiering.sql.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, run_ddl, storage
from treehouse.clickhouse.ordered import next_time

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_ALL = 1_000_000


@dataclass(frozen=True)
class Move:
    """One partition on its way from a tier to another.

    Attributes:
        database, table, partition_id: Which.
        from_tier, to_tier: Tiers by name.
        from_volume, to_volume: Their volumes.
        bytes: On disk, of the parts that are not there yet.
        saved_usd_per_month: As planned.
        undoes: The move that this one takes back.
        move: Its own id.
    """

    database: str
    table: str
    partition_id: str
    from_tier: str
    to_tier: str
    from_volume: str
    to_volume: str
    bytes: int
    saved_usd_per_month: float
    undoes: uuid.UUID | None = None
    move: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def partition(self) -> str:
        """database.table.partition_id."""
        return f"{self.database}.{self.table}.{self.partition_id}"


def ensure_log(client: Client, settings: Settings) -> None:
    """Create the table where it is missing."""
    database = identifier(settings.registry_database)
    client.command(f"create database if not exists {database} engine = Atomic")
    run_ddl(client, MACROS / "state" / "tiering.sql", "tiering_ddl", database, **storage(settings))


def write(
    client: Client, settings: Settings, run: uuid.UUID, move: Move, state: str, detail: str = ""
) -> None:
    """One row: a move is started, finished, failed or skipped."""
    at = next_time(client, f"{identifier(settings.registry_database)}.tier_moves")
    row = {"at": at, "run": run, "state": state, "detail": detail} | asdict(move)
    client.insert(
        "tier_moves", [list(row.values())], list(row), database=settings.registry_database
    )


def history(
    client: Client, settings: Settings, limit: int = _ALL, *, here: bool = False
) -> list[dict[str, Any]]:
    """Every move by its latest state, the newest first: began_at, ended_at, run, state, ...

    Args:
        client: Of the target.
        settings: Whose registry holds the log.
        limit: The newest so many.
        here: Only those of the node that is asked: a partition lies on each node by itself.
    """
    columns = [f.name for f in fields(Move) if f.name != "move"]
    named = ", ".join(f"argMax(m.{name}, m.at) as {name}" for name in ("state", "host", *columns))
    result = client.query(
        f"select move, any(m.run) as run, min(m.at) as began_at, {named}, "
        "if(state = 'started', null, max(m.at)) as ended_at, argMax(m.detail, m.at) as detail "
        f"from {identifier(settings.registry_database)}.tier_moves as m "
        f"{'where m.host = hostName() ' if here else ''}group by move "
        "order by began_at desc, move limit {limit:UInt32}",
        parameters={"limit": limit},
    )
    return list(result.named_results())


def unfinished(client: Client, settings: Settings) -> list[tuple[uuid.UUID, Move]]:
    """Moves of this node that began and did not end, with their runs: a process was killed."""
    rows = reversed(history(client, settings, here=True))
    return [(row["run"], _move(row)) for row in rows if row["state"] == "started"]


def last_run(client: Client, settings: Settings) -> Sequence[Move]:
    """The finished moves of the newest apply that has any that were not taken back, last first."""
    rows = history(client, settings, here=True)
    undone = {row["undoes"] for row in rows if row["undoes"] and row["state"] == "finished"}
    open_rows = [
        row for row in rows
        if row["state"] == "finished" and not row["undoes"] and row["move"] not in undone
    ]  # fmt: skip
    return [_move(row) for row in open_rows if row["run"] == open_rows[0]["run"]]


def arrivals_sql(settings: Settings) -> str:
    """A relation: moved_partition and days_there, since this node last finished moving it."""
    return (
        "(select concat(m.database, '.', m.table, '.', m.partition_id) as moved_partition, "
        "dateDiff('second', max(m.at), now64(6)) / 86400 as days_there "
        f"from {identifier(settings.registry_database)}.tier_moves as m "
        "where m.state = 'finished' and m.host = hostName() group by moved_partition)"
    )


def _move(row: dict[str, Any]) -> Move:
    return Move(**{f.name: row[f.name] for f in fields(Move)})
