-- What clients asked; the parts that other nodes answered are in stg_partition_reads.
with

kept as (

    select
        result_id,
        max(seconds) * 1000 as run_ms
    from {{ source('result_store', 'results') }}
    where state = 'stored'
    group by result_id

)

select
    log_id,
    query_key,
    host,
    event_at,
    logged_at,
    user_key,
    session_key,
    dashboard,
    panel,
    kind,
    shape,
    result_key,
    duration_ms,
    -- Where a stored answer was read, what it took to compute it.
    if(kept.result_id = 0, duration_ms, kept.run_ms) as run_ms,
    read_rows,
    read_bytes,
    written_rows,
    result_rows,
    result_bytes,
    memory_bytes,
    databases,
    tables,
    exception_code,
    queries.result_id as result_id
from {{ source('engine', 'engine_queries') }} as queries
left join kept on kept.result_id = queries.result_id and queries.result_id != 0
where is_initial
