-- Metrics on the test rows, one a row: of each version, and of its baselines on the same rows.

with judged as (

    select
        model,
        version,
        arrayConcat(
            [('model', JSONExtractRaw(metrics, 'model'))],
            arrayMap(
                pair -> ('baseline: ' || pair.1, pair.2),
                JSONExtractKeysAndValuesRaw(metrics, 'baselines')
            )
        ) as answers
    from {{ source('registry', 'versions') }}

),

measured as (

    select
        model,
        version,
        answer.1 as answered_by,
        arrayJoin(JSONExtractKeysAndValuesRaw(answer.2)) as pair
    from judged
    array join answers as answer

)

select
    model,
    version,
    answered_by,
    pair.1 as metric,
    toFloat64OrNull(pair.2) as value
from measured
where toFloat64OrNull(pair.2) is not null
