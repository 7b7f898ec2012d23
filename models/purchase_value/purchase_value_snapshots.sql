-- The days from which we look ahead: the first of each month that the log covers, and the day
-- after its last purchase, which is the present.
with present as (

    select
        min(purchase_day) as first_day,
        max(purchase_day) + 1 as as_of
    from {{ ref('stg_purchases') }}
    having count() > 0

),

offsets as (

    select
        first_day,
        arrayJoin(range(1, toUInt64(dateDiff('month', first_day, as_of) + 1))) as n
    from present

),

months as (

    select addMonths(toStartOfMonth(first_day), n) as as_of
    from offsets

)

select
    as_of,
    addMonths(as_of, {{ var('purchase_value_horizon_months') }}) as horizon_end,
    as_of = (select as_of from present) as is_present,
    horizon_end <= (select as_of from present) as is_mature
from (
    select as_of from months
    union distinct
    select as_of from present
)
