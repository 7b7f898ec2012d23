-- A view: what cache_decision() says of each distinct query now.
with decided as (

    select
        *,
        {{ cache_decision('scores') }} as decision
    from {{ ref('cache_admission_scores') }} as scores

)

select
    result_key,
    log_id,
    event_at,
    dashboard,
    panel,
    shape,
    duration_ms,
    read_bytes,
    result_bytes,
    allowed_stale_seconds,
    predicted_reuse,
    predicted_ttl_seconds,
    predicted_kept_seconds,
    predicted_reuse * {{ mean_ms() }} / greatest(1, result_bytes)
    / greatest(1, predicted_kept_seconds) as worth,
    decision.admit and decision.ttl_seconds > 0 as admit,
    if(admit, decision.ttl_seconds, 0) as ttl_seconds,
    model_version
from decided
