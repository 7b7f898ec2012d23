-- Who is worth how much to a bidder: a tier by rank, and the tier's mean value over the overall
-- mean as a bid multiplier within bounds.
{{ config(materialized='table', engine='MergeTree', order_by='user_id') }}

with tiered as (

    select
        *,
        {{ value_tier('predicted_ltv_usd', 'user_id') }} as value_tier
    from {{ ref('ltv_scores') }}
    where predicted_ltv_usd is not null

)

select
    user_id,
    campaign_id,
    country,
    platform,
    assumeNotNull(predicted_ltv_usd) as predicted_ltv_usd,
    value_tier,
    least({{ var('ltv_bid_multiplier_max') }}, greatest(
        {{ var('ltv_bid_multiplier_min') }},
        avg(predicted_ltv_usd) over (partition by value_tier)
        / nullIf(avg(predicted_ltv_usd) over (), 0)
    )) as bid_multiplier,
    model_version
from tiered
