-- Settings for the engine's own query cache, for each query that is worth keeping. Its results lie
-- in the memory of one server and are not told of writes, so only the time to live ends them.
select
    result_key,
    dashboard,
    panel,
    shape,
    ttl_seconds,
    concat(
        'use_query_cache = 1, query_cache_ttl = ', toString(ttl_seconds),
        ', query_cache_min_query_runs = 0, query_cache_min_query_duration = 0'
    ) as cache_settings,
    predicted_reuse * duration_ms as expected_saved_ms,
    model_version
from {{ ref('cache_admission_decisions') }}
where admit
