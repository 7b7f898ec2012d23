-- Reads and writes of partitions as storage sees them, and what a partition then holds.
with

accesses as (
    select
        event_at as time,
        partition_name,
        'read' as operation,
        read_bytes as size,
        toUInt64(0) as written_bytes
    from {{ ref('stg_partition_reads') }}

    union all

    select
        event_at as time,
        partition_name,
        'write' as operation,
        bytes as size,
        bytes as written_bytes
    from {{ ref('stg_part_events') }}
    where event = 'NewPart' and error_code = 0
)

select
    time,
    partition_name,
    operation,
    size,
    sum(written_bytes) over (partition by partition_name order by time) as stored_bytes
from accesses
