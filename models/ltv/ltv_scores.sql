-- A view: every query is answered by the version that is promoted at that moment.
with scored as (

    select
        *,
        {{ predict_full('ltv') }} as prediction
    from {{ ref('ltv_features') }}

)

select
    user_id,
    installed_at,
    campaign_id,
    ad_creative_id,
    country,
    platform,
    d7_revenue as revenue_so_far_usd,
    prediction.value as predicted_ltv_usd,
    prediction.low as predicted_ltv_low_usd,
    prediction.high as predicted_ltv_high_usd,
    prediction.typical as typical_ltv_usd,
    prediction.version as model_version
from scored
