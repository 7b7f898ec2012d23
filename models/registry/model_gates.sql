-- What each publish was judged by; a version of null was refused.

select
    at as judged_at,
    model,
    nullIf(version, 0) as version,
    step,
    gate,
    passed as has_passed,
    forced as was_forced,
    value,
    bound,
    detail
from {{ source('registry', 'gates') }}
