with latest as (

    select *
    from {{ source('monitoring', 'health') }}
    order by at desc
    limit 1 by model

),

worst as (

    select
        model,
        argMax(name, impact) as most_drifted,
        max(psi) as largest_psi
    from {{ ref('model_drift') }}
    where role = 'feature'
    group by model

),

alerts as (

    select
        model,
        countIf(state = 'open' and severity = 'error') as open_errors,
        countIf(state = 'open' and severity = 'warn') as open_warnings,
        countIf(state = 'acknowledged') as acknowledged
    from {{ source('monitoring', 'alerts') }}
    group by model

)

select
    latest.model as model,
    latest.version as version,
    latest.at as measured_at,
    latest.has_statistics as has_statistics,
    latest.window_days as window_days,
    latest.`rows` as `rows`,
    latest.usual_rows as usual_rows,
    latest.newest_at as newest_at,
    latest.future_rows as future_rows,
    worst.most_drifted as most_drifted,
    worst.largest_psi as largest_psi,
    alerts.open_errors as open_errors,
    alerts.open_warnings as open_warnings,
    alerts.acknowledged as acknowledged
from latest
left join worst on latest.model = worst.model
left join alerts on latest.model = alerts.model
