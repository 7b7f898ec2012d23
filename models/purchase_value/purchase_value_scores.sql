-- A view: every query is answered by the version that is promoted at that moment.
with present as (

    select * from {{ ref('purchase_value_features') }}
    where as_of = (select max(as_of) from {{ ref('purchase_value_snapshots') }} where is_present)

),

scored as (

    select
        *,
        {{ predict_full('purchase_value') }} as prediction
    from present

)

select
    customer_id,
    as_of,
    days_since_last,
    visits_per_month,
    amount_per_month as amount_per_month_usd,
    prediction.value as predicted_value_usd,
    prediction.low as predicted_value_low_usd,
    prediction.high as predicted_value_high_usd,
    prediction.typical as typical_value_usd,
    prediction.version as model_version
from scored
