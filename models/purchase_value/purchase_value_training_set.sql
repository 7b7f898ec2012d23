-- Only snapshots whose whole horizon has passed. The newest is the test, the one before it that
-- ends when the test begins chooses and calibrates, and training ends where that one begins: no
-- label reaches into the features of a later part.
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

with mature as (

    select * from {{ ref('purchase_value_snapshots') }}
    where is_mature

),

test as (

    select max(as_of) as as_of from mature

),

choice as (

    select max(as_of) as as_of
    from mature
    where horizon_end <= (select as_of from test)

),

labels as (

    select
        purchases.customer_id as labelled_customer,
        mature.as_of as labelled_as_of,
        toFloat64(sum(purchases.amount_usd)) as future_amount
    from {{ ref('stg_purchases') }} as purchases
    cross join mature
    where purchases.purchase_day >= mature.as_of and purchases.purchase_day < mature.horizon_end
    group by labelled_customer, labelled_as_of

)

select
    features.*,
    labels.future_amount as future_amount,
    mature.horizon_end as label_known_at,
    multiIf(
        features.as_of = (select as_of from test), 'test',
        features.as_of = (select as_of from choice), {{ choice_half('features.customer_id') }},
        mature.horizon_end <= (select as_of from choice), 'train',
        'unused'
    ) as split,
    labels.future_amount > {{ var('purchase_value_outlier_usd') }} as is_outlier
from {{ ref('purchase_value_features') }} as features
inner join (select as_of as mature_as_of, horizon_end from mature) as mature
    on features.as_of = mature.mature_as_of
left join labels
    on features.customer_id = labels.labelled_customer and features.as_of = labels.labelled_as_of
