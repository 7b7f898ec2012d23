{{ config(materialized='table', engine='MergeTree', order_by='(as_of, customer_id)') }}

{%- set window = var('purchase_value_observation_months') %}
{%- set horizon = var('purchase_value_horizon_months') %}

with snapshots as (

    select as_of from {{ ref('purchase_value_snapshots') }}

),

-- Purchases of one day are one visit: logs differ in how they split a basket. Amounts stay decimal
-- until they are summed, so that a rebuild answers the same to the bit.
visits as (

    select
        customer_id,
        purchase_day,
        sum(quantity) as quantity,
        sum(amount_usd) as amount,
        purchase_day - lagInFrame(toNullable(purchase_day)) over (
            partition by customer_id order by purchase_day
            rows between unbounded preceding and current row
        ) as gap_days
    from {{ ref('stg_purchases') }}
    group by customer_id, purchase_day

),

-- Only what lies before the snapshot is read.
history as (

    select
        visits.*,
        snapshots.as_of as as_of,
        visits.purchase_day >= addMonths(as_of, -1) as in_1m,
        visits.purchase_day >= addMonths(as_of, -3) as in_3m,
        visits.purchase_day >= addMonths(as_of, -6) as in_6m,
        visits.purchase_day >= addMonths(as_of, -{{ window }}) as in_window
    from visits
    cross join snapshots
    where visits.purchase_day < snapshots.as_of

),

summary as (

    select
        customer_id,
        as_of,
        countIf(in_1m) as visits_1m,
        countIf(in_3m) as visits_3m,
        countIf(in_6m) as visits_6m,
        countIf(in_window) as visits_in_window,
        toFloat64(sumIf(amount, in_1m)) as amount_1m,
        toFloat64(sumIf(amount, in_3m)) as amount_3m,
        toFloat64(sumIf(amount, in_6m)) as amount_6m,
        toFloat64(sumIf(amount, in_window)) as amount_in_window,
        sum(quantity) / count() as items_per_visit,
        toFloat64(max(amount)) as largest_visit,
        avg(amount) as mean_visit,
        toFloat64(argMin(amount, purchase_day)) as first_visit,
        toFloat64(argMax(amount, purchase_day)) as last_visit,
        toUInt32(as_of - max(purchase_day)) as days_since_last,
        toUInt32(as_of - min(purchase_day)) as days_since_first,
        avg(gap_days) as mean_gap_days,
        toFloat64(max(gap_days)) as largest_gap_days,
        least(days_since_first / 30.4, {{ window }}) as months_seen
    from history
    group by customer_id, as_of

)

select
    customer_id,
    as_of,
    visits_1m,
    visits_3m,
    visits_6m,
    amount_1m,
    amount_3m,
    amount_6m,
    visits_in_window / months_seen as visits_per_month,
    amount_in_window / months_seen as amount_per_month,
    {{ horizon }} * (amount_per_month + amount_3m / 3) / 2 as spend_pace,
    items_per_visit,
    largest_visit,
    mean_visit,
    first_visit,
    last_visit,
    days_since_last,
    days_since_first,
    mean_gap_days,
    largest_gap_days,
    days_since_last / mean_gap_days as overdue_ratio
from summary
