-- Of each model's last run of the monitor.
select *
from {{ source('monitoring', 'drift') }}
where (model, at) in (
    select
        model,
        max(at) as at
    from {{ source('monitoring', 'health') }}
    group by model
)
