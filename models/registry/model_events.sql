-- Who published, promoted, rolled back, retired and cleared away what, when and why.

select
    at as happened_at,
    model,
    action,
    nullIf(version, 0) as version,
    actor,
    reason,
    contract
from {{ source('registry', 'events') }}
