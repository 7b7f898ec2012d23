-- The queries as a cache sees them: the same text over the same data is the same object, and its
-- version is the moment of the last write into any partition that it read.
with

queries as (
    select *
    from {{ source('engine', 'engine_queries') }}
    where is_initial and kind = 'Select' and exception_code = 0 and notEmpty(partitions)
),

writes as (
    select
        concat(database, '.', table, '.', partition_id) as partition_name,
        logged_at as written_at
    from {{ source('engine', 'engine_part_events') }}
    where event in ('NewPart', 'MutatePart') and error_code = 0
),

reads as (
    select
        log_id,
        logged_at - toIntervalMicrosecond(toInt64(duration_ms * 1000)) as began_at,
        partition_name
    from queries
    array join partitions as partition_name
),

versions as (
    select reads.log_id as log_id, max(writes.written_at) as written_at
    from reads
    asof left join writes
        on writes.partition_name = reads.partition_name and writes.written_at <= reads.began_at
    group by log_id
)

select
    queries.event_at as time,
    queries.result_key as object,
    queries.result_bytes as size,
    queries.duration_ms / 1000 as cost,
    toUnixTimestamp64Micro(versions.written_at) as version,
    queries.read_bytes,
    queries.user_key,
    queries.dashboard,
    queries.panel,
    queries.shape
from queries
inner join versions on versions.log_id = queries.log_id
