-- A view: every query is answered by the version that is promoted at that moment. Of each distinct
-- query, as it was last asked.
with

latest as (

    select * from {{ ref('cache_admission_features') }}
    order by event_at desc, log_id
    limit 1 by result_key

),

scored as (

    select
        *,
        {{ predict_full('cache_admission') }} as prediction
    from latest

)

select
    scored.* except (prediction),
    prediction.value as predicted_reuse,
    prediction.ttl_seconds as predicted_ttl_seconds,
    prediction.kept_seconds as predicted_kept_seconds,
    prediction.version as model_version
from scored
