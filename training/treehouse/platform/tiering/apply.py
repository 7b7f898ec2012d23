"""Does what a plan says, one partition after the other, and takes it back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.turns import alone
from treehouse.platform.query_log.collect import left_out
from treehouse.platform.tiering.blockers import BUSY, room_sql
from treehouse.platform.tiering.config import Tiering
from treehouse.platform.tiering.log import Move, ensure_log, last_run, unfinished, write
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError, first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Done:
    """What came of some moves.

    Attributes:
        run: Id of the run; its rows in the log have it.
        outcomes: For each move: partition, from, to, bytes, state and detail.
    """

    run: uuid.UUID
    outcomes: tuple[dict[str, Any], ...]

    def count(self, state: str) -> int:
        """How many moves ended so."""
        return sum(outcome["state"] == state for outcome in self.outcomes)


def apply(
    client: Client,
    settings: Settings,
    moves: Sequence[Move],
    *,
    any_time: bool = False,
    progress: Report = lambda *_: None,
) -> Done:
    """Finish what a killed run left, then move; what can't be moved any more is skipped.

    Raises:
        TreehouseError: Another run moves, it is not the time, or a table is not configured.
    """
    tiering = Tiering.configured()
    ensure_log(client, settings)
    node = client.query("select hostName()").result_rows[0][0]
    with left_out(client, "tier"), alone(client, settings, f"move partitions of {node}"):
        left = [
            (of_run, move)
            for of_run, move in unfinished(client, settings)
            if f"{move.database}.{move.table}" in tiering.tables
        ]
        taken = {move.partition for _, move in left}
        _check_named(tiering, moves)
        _check_time(client, tiering, any_time)
        run = uuid.uuid4()
        work = [*left, *((run, move) for move in moves if move.partition not in taken)]
        outcomes, moved = [], 0
        for done, (of_run, move) in enumerate(work):
            progress(move.partition, done, len(work))
            fits = moved + move.bytes <= tiering.bytes_per_run
            state, detail = (
                _one(client, settings, tiering, of_run, move)
                if fits
                else ("waits", "the limit of bytes is reached")
            )
            moved += move.bytes if state == "finished" else 0
            outcomes.append({
                "partition": move.partition, "from": move.from_tier, "to": move.to_tier,
                "bytes": move.bytes, "state": state, "detail": detail,
            })  # fmt: skip
    return Done(run, tuple(outcomes))


def undo_moves(client: Client, settings: Settings) -> tuple[Move, ...]:
    """What would take back the newest run that is not taken back yet, the last move first."""
    ensure_log(client, settings)
    return tuple(
        replace(
            move,
            from_tier=move.to_tier, to_tier=move.from_tier,
            from_volume=move.to_volume, to_volume=move.from_volume,
            saved_usd_per_month=-move.saved_usd_per_month,
            undoes=move.move, move=uuid.uuid4(),
        )
        for move in last_run(client, settings)
    )  # fmt: skip


def _one(
    client: Client, settings: Settings, tiering: Tiering, run: uuid.UUID, move: Move
) -> tuple[str, str]:
    """One move with its rows in the log; how it ended, and why if it is not finished."""
    away, hindrance = _look(client, tiering, move)
    if hindrance:
        write(client, settings, run, move, "skipped", hindrance)
        return "skipped", hindrance
    if not away:
        detail = "all of it was there already"
        write(client, settings, run, move, "finished", detail)
        return "finished", detail
    write(client, settings, run, move, "started")
    try:
        client.command(
            f"alter table {identifier(move.database)}.{identifier(move.table)} "
            f"move partition id {literal(move.partition_id)} to volume {literal(move.to_volume)}"
        )
    except ClickHouseError as error:
        detail = first_line(error)
        write(client, settings, run, move, "failed", detail)
        return "failed", detail
    write(client, settings, run, move, "finished")
    return "finished", ""


def _look(client: Client, tiering: Tiering, move: Move) -> tuple[int, str]:
    """Bytes of the partition that are not in its new volume, and what stands against a move now."""
    parameters = {
        "database": move.database, "table": move.table, "id": move.partition_id,
        "volume": move.to_volume,
    }  # fmt: skip
    rows = client.query(
        f"""
        with
        (
            select any(storage_policy) from system.tables
            where database = {{database:String}} and name = {{table:String}}
        ) as policy_here,
        (
            select groupArrayArray(disks) from system.storage_policies
            where policy_name = policy_here and volume_name = {{volume:String}}
        ) as there,
        (
            select sum(r.room) from {room_sql(tiering)} as r
            where r.policy = policy_here and r.volume = {{volume:String}}
        ) as room,
        (
            select any(why) from {BUSY}
            where busy_partition
                = concat({{database:String}}, '.', {{table:String}}, '.', {{id:String}})
        ) as busy
        select
            count() as parts,
            sumIf(bytes_on_disk, not has(there, disk_name)) as away,
            multiIf(
                parts = 0, 'it is no longer there',
                empty(there), concat('its storage policy has no volume ', {{volume:String}}),
                away = 0, '',
                busy != '', busy,
                away > room, 'would leave less of the disk free than the reserve',
                ''
            ) as hindrance
        from system.parts
        where active and database = {{database:String}} and table = {{table:String}}
            and partition_id = {{id:String}}
        """,
        parameters=parameters,
    ).result_rows
    return int(rows[0][1]), str(rows[0][2])


def _check_named(tiering: Tiering, moves: Sequence[Move]) -> None:
    tables = {f"{move.database}.{move.table}" for move in moves}
    if others := sorted(tables - set(tiering.tables)):
        raise TreehouseError(
            "A table that the configuration does not name is never moved.",
            value=", ".join(others),
            fix="name it in `tiering: {tables: ...}` of dbt_project.yml",
        )


def _check_time(client: Client, tiering: Tiering, any_time: bool) -> None:
    hour = client.query(
        "select toHour(now({zone:String}))", parameters={"zone": tiering.time_zone}
    ).result_rows[0][0]
    if not any_time and not tiering.is_open(hour):
        raise TreehouseError(
            "It is not the time to move partitions.",
            value=f"{hour}:00 in {tiering.time_zone}",
            expected=f"from {tiering.begins}:00 to {tiering.ends}:00, as tiering.hours says",
            fix="run it then (cron), or say --any-time",
        )
