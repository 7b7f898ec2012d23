with

latest as (
    select
        host,
        database,
        table,
        partition_id,
        disk,
        max(states.seen_at) as changed_at,
        argMax(states.parts, states.seen_at) as parts,
        argMax(states.row_count, states.seen_at) as row_count,
        argMax(states.bytes, states.seen_at) as bytes,
        argMax(states.uncompressed_bytes, states.seen_at) as uncompressed_bytes,
        argMax(states.modified_at, states.seen_at) as modified_at
    from {{ source('engine', 'engine_partitions') }} as states
    group by host, database, table, partition_id, disk
)

select
    host,
    database,
    table,
    concat(database, '.', table, '.', partition_id) as partition_name,
    partition_id,
    disk,
    parts,
    row_count,
    bytes,
    uncompressed_bytes,
    modified_at,
    changed_at
from latest
where parts > 0
