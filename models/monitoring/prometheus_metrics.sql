-- As `format Prometheus` takes it: one row a sample.
with columns_ as (

    select
        arrayJoin([
            (
                'treehouse_drift_psi',
                'Population stability index of a column against the training of the champion',
                psi
            ),
            (
                'treehouse_drift_impact',
                'Population stability index beyond chance times importance',
                impact
            ),
            (
                'treehouse_missing_share',
                'Share of missing values in the window',
                missing_share
            )
        ]) as metric,
        map(
            'model', toString(model), 'version', toString(version),
            'role', toString(role), 'column', toString(name)
        ) as labels
    from {{ ref('model_drift') }}

),

health as (

    select
        arrayJoin([
            (
                'treehouse_champion_version',
                'Version that answers, 0 for none',
                toNullable(toFloat64(version))
            ),
            (
                'treehouse_window_rows',
                'Rows of the newest days',
                toNullable(toFloat64(`rows`))
            ),
            (
                'treehouse_newest_row_timestamp_seconds',
                'Time of the newest row',
                toFloat64(toUnixTimestamp64Milli(newest_at)) / 1000
            ),
            (
                'treehouse_monitor_run_timestamp_seconds',
                'Time of the last run of the monitor',
                toNullable(toFloat64(toUnixTimestamp64Micro(measured_at)) / 1000000)
            )
        ]) as metric,
        map('model', toString(model)) as labels
    from {{ ref('model_health') }}

),

quality as (

    select
        arrayJoin([
            (
                'treehouse_quality_loss',
                'Loss of the newest cohort whose labels have matured',
                loss
            ),
            (
                'treehouse_quality_calibration',
                'Sum of predictions over sum of labels of the newest matured cohort',
                calibration
            ),
            (
                'treehouse_quality_auc',
                'AUC of the newest matured cohort',
                auc
            )
        ]) as metric,
        map('model', toString(model), 'version', toString(version), 'measure', toString(measure))
            as labels
    from (
        select *
        from {{ ref('model_quality') }}
        order by cohort_to desc
        limit 1 by model
    )

),

alerts as (

    select
        (
            'treehouse_alert',
            'Alerts that are not resolved: 1 each',
            toNullable(toFloat64(1))
        ) as metric,
        map(
            'model', toString(model), 'kind', toString(kind), 'name', toString(name),
            'severity', toString(severity), 'state', toString(state)
        ) as labels
    from {{ source('monitoring', 'alerts') }}
    where state != 'resolved'

),

samples as (

    select * from columns_
    union all
    select * from health
    union all
    select * from quality
    union all
    select * from alerts

)

select
    metric.1 as name,
    assumeNotNull(metric.3) as value,
    metric.2 as help,
    'gauge' as type,
    labels
from samples
where metric.3 is not null
