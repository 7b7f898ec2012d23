-- What clients asked; the parts that other nodes answered are in stg_partition_reads.
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
    read_rows,
    read_bytes,
    written_rows,
    result_rows,
    result_bytes,
    memory_bytes,
    databases,
    tables,
    exception_code
from {{ source('engine', 'engine_queries') }}
where is_initial
