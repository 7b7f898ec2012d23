{# What the monitor measures besides drift, and of which models. #}

{# Name, features, times and relations of a use case, as drift_query() and its kin take them. #}
{% macro monitored(use_case) %}
    {%- set contract = feature_contract(use_case) -%}
    {%- set found = {'time': none} -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.config.meta.use_case == use_case -%}
        {%- for column in node.columns.values()
            if (column.config.meta or column.meta).role == 'time' -%}
            {%- do found.update({'time': column.name}) -%}
        {%- endfor -%}
        {%- do found.update({'database': node.schema}) -%}
    {%- endfor -%}
    {{- return({
        'model': use_case, 'features': contract.features, 'head': contract.heads[0],
        'contract': contract.hash, 'time': found.time, 'registry': var('registry_database'),
        'features_table': found.database ~ '.' ~ use_case ~ '_features',
        'days': var(use_case ~ '_monitoring_days', var('monitoring_days')),
    }) -}}
{% endmacro %}

{# model_serving: serving_query() for all models of the project. #}
{% macro serving() %}
    {%- if not execute -%} {{- return('select 1') -}} {%- endif -%}
    {{- return(serving_query(use_cases(), target.schema, var('registry_database'))) -}}
{% endmacro %}

{# Pure Jinja from here on: training/treehouse/monitor/measure.py renders the same text. #}

{# The newest days of the features, as a relation. A row of the future is a clock's mistake: it
   must not move the window. #}
{% macro monitored_window(what) -%}
(
        select * from {{ what.features_table }}
        where {{ _time(what) }} > {{ _newest(what) }} - toIntervalDay({{ what.days }})
        and {{ _time(what) }} <= {{ _newest(what) }}
    )
{%- endmacro %}

{% macro _time(what) -%}
toDateTime64(`{{ what.time }}`, 3, 'UTC')
{%- endmacro %}

{% macro _newest(what) -%}
(select max({{ _time(what) }}) from {{ what.features_table }} where {{ _time(what) }} <= now64(3) + interval 1 day)
{%- endmacro %}

{# One row: volume against the four windows before, freshness, rows of the future. #}
{% macro health_query(what) -%}
with {{ _newest(what) }} as treehouse_newest,

windows as (

    select
        countIf(treehouse_age = 0) as rows,
        countIf(treehouse_age between 1 and 4) as earlier_rows,
        uniqExactIf(treehouse_age, treehouse_age between 1 and 4) as earlier_windows
    from (
        select
            intDiv(
                dateDiff('second', {{ _time(what) }}, treehouse_newest), 86400 * {{ what.days }}
            ) as treehouse_age
        from {{ what.features_table }}
        where
            {{ _time(what) }} > treehouse_newest - toIntervalDay({{ 5 * what.days }})
            and {{ _time(what) }} <= treehouse_newest
    )

),

counted as (

    select
        count() as all_rows,
        countIf({{ _time(what) }} > now64(3) + interval 1 day) as future_rows
    from {{ what.features_table }}

)

select
    {{ champion_version(what) }} as version,
    version in (
        select version from {{ what.registry }}.statistics where model = '{{ what.model }}'
    ) as has_statistics,
    toUInt32({{ what.days }}) as window_days,
    rows,
    earlier_rows / nullIf(earlier_windows, 0) as usual_rows,
    if(earlier_windows = 0, null, least(1, 2 * {{ binomial_tail(
        'rows', 'rows + earlier_rows', '1 / (1 + earlier_windows)'
    ) }})) as p_volume,
    if(all_rows = future_rows, null, treehouse_newest) as newest_at,
    future_rows
from windows
cross join counted
{%- endmacro %}

{# One row for each cohort of matured labels that no fit of the version has seen, by windows of
   time. Intervals of 95 %: of a mean; of a ratio of sums, Cochran, Sampling Techniques (1977),
   section 6.4; of the AUC, Hanley and McNeil, The meaning and use of the area under a ROC curve
   (1982). Of a sequence the first answer is judged: whether it came, and its probability.
   `what` holds further: training_set, label and weight (SQL), keys, task. #}
{% macro quality_query(what) -%}
{%- set losses = {
    'value': ('mae', 'abs(answer - label)', "JSONExtract(metrics, 'model', 'mae', 'Nullable(Float64)')"),
    'probability': ('brier', 'pow(answer - label, 2)', "JSONExtract(metrics, 'model', 'brier', 'Nullable(Float64)')"),
    'classes': ('error rate', 'toFloat64(answer != label)', "1 - JSONExtract(metrics, 'model', 'accuracy', 'Nullable(Float64)')"),
    'sequence': ('error rate', '1 - label', "1 - JSONExtract(metrics, 'model', 'recall_1', 'Nullable(Float64)')"),
} -%}
{%- set measure, loss, holdout_loss = losses[what.task] -%}
{%- set names = what.features | map(attribute='name') | join('`, `') -%}
with /* treehouse monitor */ champion as (

    select
        version,
        if(holdout_from > 0, holdout_from, training_to) as holdout_from,
        {{ holdout_loss }} as holdout_loss,
        1 + JSONExtract(metrics, 'model', 'bias', 'Nullable(Float64)') as holdout_calibration,
        JSONExtract(metrics, 'model', 'auc', 'Nullable(Float64)') as holdout_auc
    from {{ what.registry }}.versions
    where model = '{{ what.model }}' and version = {{ champion_version(what) }}
    order by created_at
    limit 1

),

answered as (

    select
        treehouse_time as known_at,
        {%- if what.task == 'sequence' %}
        toFloat64(treehouse_told.value = treehouse_label) as label,
        treehouse_told.share_1 as answer,
        {%- else %}
        treehouse_label as label,
        toFloat64(treehouse_told) as answer,
        {%- endif %}
        treehouse_weight as weight
    from (
        select
            {{ _time(what) }} as treehouse_time,
            predict_{{ what.model }}{{ '_full' if what.task == 'sequence' }}(`{{ names }}`) as treehouse_told,
            {{ what.label }} as treehouse_label,
            {{ what.weight }} as treehouse_weight
        from {{ what.training_set }}
        where treehouse_time >= (select holdout_from from champion)
    )

),

judged as (

    select
        *,
        {{ loss }} as loss,
        intDiv(
            dateDiff('second', known_at, (select max(known_at) from answered)), 86400 * {{ what.days }}
        ) as cohort
    from answered
    where isFinite(label) and isFinite(answer)

),

cohorts as (

    select
        min(known_at) as cohort_from,
        max(known_at) as cohort_to,
        count() as rows,
        sum(weight) as weights,
        sum(weight * judged.loss) / weights as loss,
        sqrt(sum(pow(weight * judged.loss, 2)) - 2 * loss * sum(weight * weight * judged.loss)
            + loss * loss * sum(weight * weight)) / weights as loss_error,
        sum(weight * abs(label)) as labels,
        sum(weight * (answer - label)) / nullIf(labels, 0) as bias,
        1 + bias as calibration,
        sqrt(greatest(sum(pow(weight * (answer - label), 2))
            - 2 * bias * sum(weight * weight * (answer - label) * abs(label))
            + bias * bias * sum(pow(weight * label, 2)), 0)) / labels
            as calibration_error,
        countIf(label > 0) as positives,
        rows - positives as negatives,
        if(positives = 0 or negatives = 0, null, arrayROCAUC(groupArray(answer), groupArray(label > 0)))
            as auc,
        sqrt((
            auc * (1 - auc) + (positives - 1) * (auc / (2 - auc) - auc * auc)
            + (negatives - 1) * (2 * auc * auc / (1 + auc) - auc * auc)
        ) / positives / negatives) as auc_error
    from judged
    where cohort < 12
    group by cohort

)

select
    champion.version as version,
    cohort_from,
    cohort_to,
    rows,
    '{{ measure }}' as measure,
    loss,
    loss - 1.96 * loss_error as loss_low,
    loss + 1.96 * loss_error as loss_high,
    {%- if what.task == 'classes' %}
    {%- for name in ('calibration', 'calibration_low', 'calibration_high', 'auc', 'auc_low', 'auc_high') %}
    cast(null, 'Nullable(Float64)') as {{ name }},
    {%- endfor %}
    {%- else %}
    calibration,
    calibration - 1.96 * calibration_error as calibration_low,
    calibration + 1.96 * calibration_error as calibration_high,
    auc,
    greatest(0, auc - 1.96 * auc_error) as auc_low,
    least(1, auc + 1.96 * auc_error) as auc_high,
    {%- endif %}
    champion.holdout_loss as holdout_loss,
    champion.holdout_calibration as holdout_calibration,
    champion.holdout_auc as holdout_auc
from cohorts
cross join champion
{%- endmacro %}

{# Calls of each model by hour, from the engine's own log. One row a model and hour. The log is a
   table only after its first flush, and has brothers after an upgrade: merge() takes what there
   is, and the empty table of macros/state/monitor.sql gives it columns when there is none. #}
{% macro serving_query(models, database, registry_database) -%}
with calls as (

    select
        event_time,
        type,
        query_duration_ms,
        read_rows,
        arrayFilter(name -> name != '', [
            {%- for model in models %}
            if(
                match(query, '\\b(predict|explain)_{{ model }}(_row)?(_full|_top)?(_at|_in)?`?\\s*\\(')
                or (
                    has(tables, '{{ database }}.{{ model }}_scores')
                    and has(used_executable_user_defined_functions, 'treehouse_score')
                ),
                '{{ model }}', ''
            ){{ ',' if not loop.last }}
            {%- endfor %}
        ]) as called
    from merge(
        REGEXP('^(system|{{ registry_database }})$'), '^query_log(_[0-9]+|_shape)?$'
    )
    where
        event_date >= today() - 7
        and type != 'QueryStart'
        and query_kind in ('Select', 'Insert', '')
        and query not like '%treehouse monitor%'

)

select
    arrayJoin(called) as model,
    toStartOfHour(event_time) as hour,
    count() as calls,
    countIf(type = 'ExceptionWhileProcessing') as failures,
    countIf(type = 'ExceptionBeforeStart') as refused,
    sum(read_rows) as rows_read,
    quantileExactIf(0.5)(query_duration_ms, type = 'QueryFinish') as p50_ms,
    quantileExactIf(0.9)(query_duration_ms, type = 'QueryFinish') as p90_ms,
    quantileExactIf(0.99)(query_duration_ms, type = 'QueryFinish') as p99_ms
from calls
where notEmpty(called)
group by model, hour
{%- endmacro %}

{# What each column does to the answers by being as it is now: the mean difference between the
   answers to rows of the training that have the column of a row of the window, and to the same rows
   that have it of another row of the training. One row a feature, and one named '' for all columns
   at once. Whatever columns have to do with each other, it is 0 where a column has not changed.

   Rows of one unit, the first key, are not independent of each other: the error is that of sums
   over units, of the window's and of the training's (Liang and Zeger, Longitudinal data analysis
   using generalized linear models, 1986). p is corrected for all columns together (Bonferroni).
   `usual` is the mean size of an answer to the training's rows. #}
{% macro effects_query(what) -%}
{%- set names = what.features | map(attribute='name') | list -%}
{%- set order = 'cityHash64(tuple(`' ~ what['keys'] | join('`, `') ~ '`))' -%}
{%- set sampled -%}
tuple(`{{ names | join('`, `') }}`) as treehouse_row,
        toString(`{{ what['keys'][0] }}`) as treehouse_unit,
        toUInt64(row_number() over (order by {{ order }}) - 1) as treehouse_number
{%- endset -%}
with /* treehouse monitor */
    assumeNotNull((select least(count(), 5000) from {{ monitored_window(what) }})) as treehouse_now,
    assumeNotNull((
        select least(count(), 5000) from {{ what.training_set }} where split = 'train'
    )) as treehouse_then,

now_rows as (

    select
        {{ sampled }}
    from {{ monitored_window(what) }}
    order by {{ order }}
    limit 5000

),

then_rows as (

    select
        {{ sampled }}
    from {{ what.training_set }}
    where split = 'train'
    order by {{ order }}
    limit 5000

),

compared as (

    select
        changed,
        [concat('now ', now_unit), concat('then ', then_unit)] as units,
        {{ _answer_with(what, 'now_row') }} - then_answer as difference,
        {{ _answer_with(what, 'then_row') }} as then_answer
    from (
        select
            now_rows.treehouse_row as now_row,
            now_rows.treehouse_unit as now_unit,
            then_rows.treehouse_row as then_row,
            then_rows.treehouse_unit as then_unit,
            base_rows.treehouse_row as base_row
        from numbers(if(treehouse_now = 0 or treehouse_then = 0, 0, greatest(treehouse_now, treehouse_then))) as pair
        inner join now_rows on pair.number % greatest(treehouse_now, 1) = now_rows.treehouse_number
        inner join then_rows on pair.number % greatest(treehouse_then, 1) = then_rows.treehouse_number
        inner join then_rows as base_rows
            on (pair.number + intDiv(treehouse_then, 2)) % greatest(treehouse_then, 1) = base_rows.treehouse_number
    )
    array join range(toUInt16({{ names | length + 1 }})) as changed

),

summed as (

    select
        changed,
        count() as pairs,
        avg(difference) as effect,
        avg(abs(then_answer)) as size,
        sumMap(units, [difference, difference], [1., 1.]) as of_units,
        arrayCount(unit -> startsWith(unit, 'now '), of_units.1) as now_units,
        sqrt(arraySum(
            (total, rows) -> pow(total - rows * effect, 2), of_units.2, of_units.3
        ) * now_units / greatest(now_units - 1, 1)) / pairs as error
    from compared
    group by changed

)

select
    [''{% for name in names %}, {{ _text(name) }}{% endfor %}][changed + 1] as name,
    effect,
    error,
    now_units as units,
    treehouse_now as rows,
    maxIf(size, changed = 0) over () as usual,
    if(error > 0, least(1, {{ names | length + 1 }} * erfc(abs(effect) / error / sqrt(2))), toFloat64(effect = 0)) as p
from summed
order by changed
{%- endmacro %}

{# The answer to `base_row` with the column that changed, or with all for 0, of another row. #}
{% macro _answer_with(what, other) -%}
{%- set arguments = [] -%}
{%- for feature in what.features -%}
    {%- do arguments.append('if(changed in (0, ' ~ loop.index ~ '), ' ~ other ~ '.' ~ loop.index ~ ', base_row.' ~ loop.index ~ ')') -%}
{%- endfor -%}
{%- set told = what.told or ('share_1' if what.task == 'sequence' else '') -%}
{%- if told -%}
ifNull(tupleElement(predict_{{ what.model }}_full({{ arguments | join(', ') }}), {{ _text(told) }}), nan)
{%- else -%}
ifNull(toFloat64(predict_{{ what.model }}({{ arguments | join(', ') }})), nan)
{%- endif -%}
{%- endmacro %}

{# The mean answer to one row, whose first key is `what.key`, a literal, with a column as 500 rows of the
   training have it. One row a column in their order, after one with all of them as there, and before
   the last one: the row as it is. `what` may hold `told`, the head that is asked for. #}
{% macro row_effects_query(what) -%}
{%- set names = what.features | map(attribute='name') | join('`, `') -%}
with asked as (

    select tuple(`{{ names }}`) as base_row
    from {{ what.features_table }}
    where toString(`{{ what['keys'][0] }}`) = {{ what.key }}
    order by `{{ what.time }}` desc
    limit 1

),

others as (

    select tuple(`{{ names }}`) as then_row
    from {{ what.training_set }}
    where split = 'train'
    order by cityHash64(tuple(`{{ what['keys'] | join('`, `') }}`))
    limit 500

)

select
    changed,
    avg({{ _answer_with(what, 'then_row') }}) as answer
from asked
cross join others
array join range(toUInt16({{ what.features | length + 2 }})) as changed
group by changed
order by changed
{%- endmacro %}
