-- On every node that took part in a query, the partitions that it read there.
select
    queries.log_id,
    queries.query_key,
    queries.host,
    queries.event_at,
    queries.logged_at,
    queries.user_key,
    queries.shape,
    partition_name,
    intDiv(queries.read_bytes, greatest(1, length(queries.partitions))) as read_bytes
from {{ source('engine', 'engine_queries') }} as queries
array join queries.partitions as partition_name
where queries.kind = 'Select' and queries.exception_code = 0
