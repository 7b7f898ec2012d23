select
    event_id,
    user_id,
    event_name,
    event_at,
    toDate(event_at, '{{ var("time_zone") }}') as event_day,
    session_id,
    duration_ms,
    revenue_usd,
    properties
from {{ source_rows('events') }}
