select
    purchase_id,
    customer_id,
    purchased_at,
    toDate(purchased_at, '{{ var("time_zone") }}') as purchase_day,
    quantity,
    amount_usd
from {{ source_rows('purchases') }}
