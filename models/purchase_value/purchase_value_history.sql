-- What the log is long enough for: a first month to look back on, and three horizons that do not
-- overlap, of training, choice and test. The horizon is never changed: another is another label.
{{ config(materialized='table', engine='MergeTree', order_by='history_days') }}

{%- set horizon = var('purchase_value_horizon_months') %}

with log as (

    select
        min(purchase_day) as first_day,
        max(purchase_day) + 1 as present,
        addMonths(toStartOfMonth(first_day), 1) as first_snapshot
    from {{ ref('stg_purchases') }}
    having count() > 0

)

select
    dateDiff('day', first_day, present) as history_days,
    dateDiff('day', first_day, addMonths(first_snapshot, 3 * {{ horizon }})) as needed_days,
    'purchase_value_horizon_months' as variable,
    intDiv(age('month', first_snapshot, present), 3) as fitting_value,
    1 as least_value,
    '' as note
from log
