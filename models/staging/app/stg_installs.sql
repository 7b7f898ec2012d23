select
    user_id,
    installed_at,
    toDate(installed_at, '{{ var("time_zone") }}') as install_day,
    toHour(installed_at, '{{ var("time_zone") }}') as install_hour,
    campaign_id,
    ad_creative_id,
    country,
    platform,
    device_type,
    os_version
from {{ source_rows('installs') }}
