{# What tiering did. Pure Jinja, so that Python renders the same text (training/treehouse/platform/tiering/log.py).
   Append-only: a move is one row when it begins and one when it ends; a partition lies where the
   engine says, so a row that is missing after a crash is told from there. #}

{% macro tiering_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ database }}.tier_moves{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    run UUID comment 'Of one apply or undo',
    move UUID,
    state LowCardinality(String) comment 'started, then finished, failed or skipped',
    host LowCardinality(String) default hostName() comment 'The node whose parts were moved',
    database LowCardinality(String),
    table LowCardinality(String),
    partition_id String,
    from_tier LowCardinality(String),
    to_tier LowCardinality(String),
    from_volume LowCardinality(String),
    to_volume LowCardinality(String),
    bytes UInt64 comment 'On disk',
    saved_usd_per_month Float64 comment 'As planned; below 0 for a move to a faster tier',
    undoes Nullable(UUID) comment 'The move that this one takes back',
    detail String comment 'Why it failed or was skipped'
)
engine = {{ engine }} order by (at, move)
comment 'One row when a move begins and one when it ends'
{% endmacro %}
