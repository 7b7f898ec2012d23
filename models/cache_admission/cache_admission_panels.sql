-- A view: what cache_decision() says of each request of a panel in the last day that was seen. It
-- depends on the moment of a request; a panel is worth keeping if most of its requests are.
with

decided as (

    select
        *,
        {{ cache_decision() }} as decision,
        {{ predict_full('cache_admission') }} as prediction
    from {{ ref('cache_admission_features') }}
    where
        dashboard != ''
        and event_at > (
            select max(event_at) from {{ ref('cache_admission_features') }}
        ) - toIntervalDay(1)

)

select
    dashboard,
    panel,
    count() as requests,
    countIf(decision.admit and decision.ttl_seconds > 0) / requests as admitted_share,
    sum(prediction.value * duration_ms) as expected_saved_ms,
    admitted_share > 0.5 as admit,
    if(
        admit,
        medianExactIf(decision.ttl_seconds, decision.admit and decision.ttl_seconds > 0), 0
    ) as ttl_seconds,
    max(prediction.version) as model_version
from decided
group by dashboard, panel
