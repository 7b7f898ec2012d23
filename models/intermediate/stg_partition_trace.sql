-- Reads and writes of partitions as storage sees them, and what a partition then holds.
select
    event_at as time,
    partition_name,
    if(is_read, 'read', 'write') as operation,
    bytes as size,
    sumIf(bytes, not is_read) over (partition by partition_name order by event_at) as stored_bytes
from {{ ref('stg_partition_accesses') }}
