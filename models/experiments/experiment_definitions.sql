-- Each experiment as it is now, from the log of its starts, growths and stops.
{%- set columns = [
    'description', 'salt', 'share', 'variants', 'weights', 'model', 'versions', 'is_shadow',
    'metrics', 'direction', 'pre_days', 'alpha', 'power', 'minimum_lift', 'planned_units', 'method',
] %}
{%- set fixed = [
    'salt', 'variants', 'weights', 'model', 'versions', 'metrics', 'alpha', 'method',
] %}

select
    experiment,
    if(argMax(log.action, log.at) = 'stop', 'stopped', 'running') as state,
    min(log.at) as started_at,
    if(state = 'stopped', max(log.at), null) as stopped_at,
    argMin(log.actor, log.at) as started_by,
    {%- for column in columns %}
        argMax(log.{{ column }}, log.at) as {{ column }},
    {%- endfor %}
    -- Only a larger share is compatible with what was seen before.
    uniqExact(log.{{ fixed | join(', log.') }}) > 1 or arrayExists(
        step -> step < 0,
        arrayDifference(arrayMap(
            change -> tupleElement(change, 2), arraySort(groupArray((log.at, log.share)))
        ))
    ) as was_changed
from {{ source('registry', 'experiments') }} as log
group by experiment
