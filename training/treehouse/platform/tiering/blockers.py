"""What stands against a move, as relations of SQL: work of the engine, and full disks."""

from __future__ import annotations

from treehouse.platform.tiering.config import Tiering

# Partitions that the engine is at work on; a part's name begins with its partition's id.
BUSY = """(
    select
        concat(database, '.', table, '.', partition_id) as busy_partition,
        any(why) as why
    from (
        select database, table, partition_id, 'is being merged' as why from system.merges
        union all
        select database, table, splitByChar('_', part_name)[1], 'parts are on their way'
        from system.moves
        union all
        select
            database, table, splitByChar('_', arrayJoin(parts_to_do_names))[1],
            'a mutation is not done'
        from system.mutations
        where not is_done
    )
    group by busy_partition
)"""


def room_sql(tiering: Tiering) -> str:
    """A relation: policy, volume, and room, the bytes that moves may still fill there."""
    return f"""(
        select
            policy_name as policy,
            volume_name as volume,
            sum(greatest(0., toFloat64(unreserved_space) - {tiering.free_share} * total_space))
                as room
        from (
            select policy_name, volume_name, arrayJoin(disks) as disk
            from system.storage_policies
        ) as volumes
        inner join system.disks as disks on disks.name = volumes.disk
        group by policy, volume
    )"""
