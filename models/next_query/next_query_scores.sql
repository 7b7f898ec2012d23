-- A view: every query is answered by the version that is promoted at that moment.
with

present as (

    select * from {{ ref('next_query_features') }}
    order by asked_at desc, log_id desc
    limit 1 by sequence_key

),

scored as (

    select
        *,
        {{ predict_full('next_query') }} as prediction
    from present

)

select
    scored.* except (prediction),
    prediction.value as predicted_query_id,
    prediction.share_1 as predicted_share,
    {{ next_queries('prediction') }} as next_queries,
    prediction.version as model_version
from scored
