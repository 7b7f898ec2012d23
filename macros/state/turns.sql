{# Who does now what only one may do at a time. Pure Jinja, so that Python renders the same text
   (training/treehouse/clickhouse/turns.py). A turn is one row once merged: it begins, shows life, and is over. #}

{% macro turns_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create database if not exists {{ database }}{{ on_cluster }} engine = Atomic;

create table if not exists {{ database }}.turns{{ on_cluster }}
(
    name String comment 'What is done, such as load events',
    turn UInt64 comment 'Counts from 1 for each name',
    holder SimpleAggregateFunction(min, UUID) comment 'Who got this turn',
    began_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) default now64(6),
    seen_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) default now64(6),
    beats SimpleAggregateFunction(sum, UInt64) comment 'Signs of life',
    is_over SimpleAggregateFunction(max, UInt8),
    host SimpleAggregateFunction(any, String),
    place SimpleAggregateFunction(any, String) comment 'Boot and process namespace that the process number is of',
    process SimpleAggregateFunction(any, UInt32),
    started SimpleAggregateFunction(any, UInt64) comment 'Of the process, in ticks since the boot: numbers are used again',
    command SimpleAggregateFunction(any, String),
    actor SimpleAggregateFunction(any, String)
)
engine = {{ engine | replace('MergeTree', 'AggregatingMergeTree') }} order by (name, turn)
-- Of two processes that claim the same turn, the engine keeps the first one's row.
settings non_replicated_deduplication_window = 1000
comment 'Who does, or did, what only one may do at a time'
{% endmacro %}
