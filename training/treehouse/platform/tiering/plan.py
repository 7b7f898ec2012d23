"""What would be moved now, what it saves, and what stays for which reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.platform.tiering.blockers import BUSY, room_sql
from treehouse.platform.tiering.config import Tiering
from treehouse.platform.tiering.log import Move, arrivals_sql, ensure_log
from treehouse.platform.tiering.prices import HOURS_A_MONTH, Prices
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What tiering would do now.

    Attributes:
        as_of: The day whose logs the decisions are made of; None where nothing is known.
        model_version: Who decided; 0 while nothing is promoted, and nothing moves.
        partitions: How many were decided on.
        usd_per_month: What their tiers bill now.
        moves: What would be moved, in this order.
        details: For each move what is shown of it.
        held: What should move but does not, by reason: partitions and bytes.
    """

    as_of: Any
    model_version: int
    partitions: int
    usd_per_month: float
    moves: tuple[Move, ...]
    details: tuple[dict[str, Any], ...]
    held: tuple[dict[str, Any], ...]

    @property
    def saved_usd_per_month(self) -> float:
        """Of the monthly bill, if all of it is done."""
        return sum(move.saved_usd_per_month for move in self.moves)


def make_plan(client: Client, settings: Settings, tables: Collection[str] = ()) -> Plan:
    """Ask the decisions, and hold back what may not or need not move now.

    Args:
        client: Of the node whose parts are to be moved.
        settings: Whose database holds the decisions.
        tables: Only these, as database.table; by default all that the configuration names.

    Raises:
        TreehouseError: A table is not named in the configuration, or there are no decisions.
    """
    tiering = Tiering.configured()
    if others := sorted(set(tables) - set(tiering.tables)):
        raise TreehouseError(
            "A table that the configuration does not name is never moved.",
            value=", ".join(others),
            expected="one of " + ", ".join(tiering.tables) if tiering.tables else None,
            fix="name it in `tiering: {tables: ...}` of dbt_project.yml, then ./treehouse build",
        )
    ensure_log(client, settings)
    decisions = f"{identifier(settings.database)}.storage_tiering_decisions"
    named = ", ".join(map(literal, tables or tiering.tables)) or "''"
    chosen = f"(select * from {decisions} where concat(database, '.', table) in ({named}))"
    try:
        rows = list(client.query(_plan_sql(settings, tiering, chosen)).named_results())
    except ClickHouseError as error:
        if "UNKNOWN_TABLE" not in str(error):
            raise
        raise TreehouseError(
            "There are no decisions yet.",
            value=decisions.replace("`", ""),
            fix="./treehouse collect && ./treehouse build, and ./treehouse train storage_tiering "
            "--promote",
        ) from error
    return _plan(tiering, rows)


def _plan(tiering: Tiering, rows: list[dict[str, Any]]) -> Plan:
    held: dict[str, dict[str, Any]] = {}
    moves, details = [], []
    for row in rows:
        if row["reason"] == "":
            moves.append(_move(tiering, row))
            details.append({name: row[name] for name in _SHOWN})
        elif row["tier"] != row["decided_tier"] or row["reason"] != "stays":
            entry = held.setdefault(
                row["reason"],
                {
                    "reason": row["reason"],
                    "partitions": 0,
                    "bytes": 0,
                    "for_example": row["partition_name"],
                },
            )
            entry["partitions"] += 1
            entry["bytes"] += row["bytes"]
    return Plan(
        as_of=rows[0]["as_of"] if rows else None,
        model_version=rows[0]["model_version"] if rows else 0,
        partitions=len(rows),
        usd_per_month=sum(row["usd_per_month"] for row in rows),
        moves=tuple(moves),
        details=tuple(details),
        held=tuple(held.values()),
    )


def _move(tiering: Tiering, row: dict[str, Any]) -> Move:
    return Move(
        database=row["database"],
        table=row["table"],
        partition_id=row["partition_id"],
        from_tier=row["tier"],
        to_tier=row["decided_tier"],
        from_volume=tiering.volumes[row["tier"]],
        to_volume=tiering.volumes[row["decided_tier"]],
        bytes=row["bytes"],
        saved_usd_per_month=row["saved_usd_per_month"],
    )


_SHOWN = (
    "partition_name", "bytes", "tier", "decided_tier", "saved_usd_per_month", "move_usd",
    "added_waiting_hours_per_month", "reads_7d", "days_since_read",
)  # fmt: skip


def _plan_sql(settings: Settings, tiering: Tiering, chosen: str) -> str:
    """All decisions with `reason`, which is '' for what is to be moved; faster tiers come first."""
    tiers = list(tiering.volumes)
    names = "[" + ", ".join(map(literal, tiers)) + "]"
    volumes = "[" + ", ".join(map(literal, tiering.volumes.values())) + "]"
    fees = [
        f"{tier.usd_per_gb_month} * 24 / {HOURS_A_MONTH} "
        f"* greatest(0, {tier.minimum_days} - days_there)"
        for tier in Prices.configured().tiers
    ]
    full = f"would leave less than {tiering.free_share:.0%} of the disk free"
    return f"""
    with
    candidates as (
        select
            d.* except (move_usd),
            indexOf({names}, d.tier) as here,
            indexOf({names}, d.decided_tier) as there,
            {volumes}[there] as to_volume,
            a.days_there as days_there,
            a.moved_partition != '' as was_moved,
            -- What leaves a tier too early is billed as if it had stayed.
            d.move_usd + if(
                was_moved and here != there, d.stands_for_bytes / 1e9 * [{", ".join(fees)}][here], 0
            ) as move_usd,
            busy.why as busy_why,
            room.volume as volume_there,
            room.room as room
        from {chosen} as d
        left join {arrivals_sql(settings)} as a on a.moved_partition = d.partition_name
        left join {BUSY} as busy on busy.busy_partition = d.partition_name
        left join {room_sql(tiering)} as room
            on room.policy = d.storage_policy
            and room.volume = {volumes}[indexOf({names}, d.decided_tier)]
    ),
    judged as (
        select
            *,
            multiIf(
                action != 'move', action,
                volume_there = '', concat(
                    'the storage policy ', storage_policy, ' has no volume ', to_volume
                ),
                was_moved and days_there < {tiering.minimum_stay_days}, concat(
                    'was moved less than {tiering.minimum_stay_days:g} days ago'
                ),
                busy_why != '', busy_why,
                bytes > {tiering.bytes_per_run}, 'is larger than what one run may move',
                bytes > room, {literal(full)},
                ''
            ) as own_reason
        from candidates
    ),
    summed as (
        select
            *,
            sumIf(bytes, own_reason = '') over (
                partition by storage_policy, to_volume
                order by there < here desc, saved_usd_per_month / bytes desc, partition_name
                rows between unbounded preceding and current row
            ) as bytes_there,
            sumIf(bytes, own_reason = '') over (
                order by there < here desc, saved_usd_per_month / bytes desc, partition_name
                rows between unbounded preceding and current row
            ) as bytes_so_far
        from judged
    )
    select
        * except (own_reason),
        multiIf(
            own_reason != '', own_reason,
            bytes_there > room, {literal(full)},
            bytes_so_far > {tiering.bytes_per_run}, 'waits for the next run: the limit is reached',
            ''
        ) as reason
    from summed
    order by there < here desc, saved_usd_per_month / bytes desc, partition_name
    """
