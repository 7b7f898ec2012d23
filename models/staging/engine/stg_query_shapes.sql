-- Two collections at once would have described a shape twice.
select
    shape,
    min(shapes.first_seen_at) as first_seen_at,
    any(shapes.is_parsed) as is_parsed,
    any(shapes.text) as text,
    any(shapes.tables) as tables,
    any(shapes.columns) as columns,
    any(shapes.joins) as joins,
    any(shapes.subqueries) as subqueries,
    any(shapes.aggregates) as aggregates,
    any(shapes.group_by) as group_by,
    any(shapes.conditions) as conditions,
    any(shapes.time_range) as time_range,
    any(shapes.is_deterministic) as is_deterministic,
    any(shapes.has_limit) as has_limit
from {{ source('engine', 'engine_query_shapes') }} as shapes
group by shape
