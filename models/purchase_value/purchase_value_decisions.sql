-- Whom to look after: a tier by rank, and the share of the expected revenue that a tier holds.
{{ config(materialized='table', engine='MergeTree', order_by='customer_id') }}

with tiered as (

    select
        *,
        {{ value_tier('predicted_value_usd', 'customer_id') }} as value_tier
    from {{ ref('purchase_value_scores') }}
    where predicted_value_usd is not null

)

select
    customer_id,
    as_of,
    assumeNotNull(predicted_value_usd) as predicted_value_usd,
    value_tier,
    sum(predicted_value_usd) over (partition by value_tier)
    / nullIf(sum(predicted_value_usd) over (), 0) as tier_revenue_share,
    model_version
from tiered
