"""The SQL of a collection for parts and partitions; parameters as in statements.py."""

from __future__ import annotations

from treehouse.platform.query_log.query_statements import AT, SINCE, seen

# Not the engine's own tables, nor those that a collection itself or the result store writes.
_FOREIGN = (
    r"database != 'system' and table not like 'engine\\_%' "
    "and not startsWith(database, {store:String}) "
    "and (database, table) != ({registry:String}, 'turns')"
)


def insert_part_events(raw: str, origin: str) -> str:
    """Into engine_part_events what happened to parts since."""
    return f"""
    insert into {raw}.engine_part_events
    with
    (select key from {raw}.engine_keys order by created_at limit 1) as secret,
    fresh as (
        select
            *,
            greatest(event_time, event_time_microseconds) as logged_at,
            cityHash64(hostname, database, table, part_name, event_type, logged_at) as log_id
        from {origin}
        where
            event_time >= {SINCE}
            and not endsWith(toString(event_type), 'Start')
            and {_FOREIGN}
        limit 1 by log_id
    )
    select
        log.log_id,
        {AT} as collected_at,
        log.hostname as host,
        log.logged_at,
        toString(log.event_type) as event,
        sipHash64Keyed(secret, log.query_id) as query_key,
        log.database,
        log.table,
        log.partition_id,
        log.rows as row_count,
        log.size_in_bytes as bytes,
        log.disk_name as disk,
        log.error as error_code
    from fresh as log
    where log.log_id not in ({seen(raw, "engine_part_events")})
    """


def insert_partitions(raw: str, parts: str) -> str:
    """Into engine_partitions every partition that changed since it was last seen."""
    return f"""
    insert into {raw}.engine_partitions
    with
    present as (
        select
            hostname as host,
            database,
            table,
            partition_id,
            disk_name as disk,
            toUInt32(count()) as parts,
            sum(part.rows) as row_count,
            sum(part.bytes_on_disk) as bytes,
            sum(part.data_uncompressed_bytes) as uncompressed_bytes,
            max(part.modification_time) as modified_at
        from {parts} as part
        where active and {_FOREIGN}
        group by host, database, table, partition_id, disk
    ),
    known as (
        select
            host,
            database,
            table,
            partition_id,
            disk,
            argMax((parts, row_count, bytes, uncompressed_bytes, modified_at), seen_at) as state
        from {raw}.engine_partitions
        group by host, database, table, partition_id, disk
    )
    select
        {AT} as seen_at,
        host,
        database,
        table,
        partition_id,
        disk,
        present.parts,
        present.row_count,
        present.bytes,
        present.uncompressed_bytes,
        present.modified_at
    from present
    full join known using (host, database, table, partition_id, disk)
    where
        (
            present.parts, present.row_count, present.bytes, present.uncompressed_bytes,
            present.modified_at
        ) != known.state
    """
