-- A view: every query is answered by the version that is promoted at that moment.
with present as (

    select * from {{ ref('storage_tiering_features') }}
    where as_of = (select max(as_of) from {{ ref('storage_tiering_features') }})

),

scored as (

    select
        *,
        {{ predict_full('storage_tiering') }} as prediction
    from present

)

select
    scored.* except (prediction),
    prediction.value as predicted_tier,
    {{ tier_shares('prediction.') }},
    prediction.version as model_version
from scored
