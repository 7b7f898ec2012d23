{# The tables of what comes in: the sources, what was refused, and what was loaded.
   Pure Jinja, so that Python renders the same text (training/treehouse/ingest/sources.py).
   Append-only: nothing is ever updated, and a full refresh of the dbt models never comes here. #}

{# A log, sorted by its time too, is partitioned by month; a table of one row a user is not. One that
   grows gets what a later contract adds: never one that may be somebody's own, by the vars. #}
{% macro source_ddl(database, sources) %}
create database if not exists {{ database }} engine = Atomic;
{% for source in sources %}
create table if not exists {{ database }}.`{{ source.name }}`
(
    {%- for column in source.columns %}
    `{{ column.name }}` {{ column.type }} comment '{{ ddl_comment(column.comment) }}'
    {%- if not loop.last %},{% endif %}
    {%- endfor %}
)
engine = MergeTree
    {%- if source.time in source.order_by %} partition by toYYYYMM(`{{ source.time }}`){% endif %}
order by (`{{ source.order_by | join('`, `') }}`);
{%- if source.grows %}

alter table {{ database }}.`{{ source.name }}`
{%- for column in source.columns %}
    add column if not exists `{{ column.name }}` {{ column.type }} comment '{{ ddl_comment(column.comment) }}'
    {%- if not loop.last %},{% endif %}
{%- endfor %};
{%- endif %}
{% endfor %}
{% endmacro %}

{% macro load_state_ddl(database) %}
create table if not exists {{ database }}.quarantine
(
    loaded_at DateTime64(3, 'UTC') default now64(3),
    source LowCardinality(String) comment 'Which contract was broken',
    load_id String comment 'The first load that met the row, as in load_log',
    reason String comment 'Column, value and rule; one after another where there are several',
    reason_code LowCardinality(String) comment 'The same without values, to group by: column.missing, .unreadable, .rule',
    row Map(String, String) comment 'The row as it came, under the names of the contract',
    row_id FixedString(32) comment 'Hash of the row and, for equal rows, of their number in the load'
)
engine = MergeTree order by (source, loaded_at)
comment 'Rows that were not loaded, and why';

alter table {{ database }}.quarantine add column if not exists
    reason_code LowCardinality(String) comment 'The same without values, to group by: column.missing, .unreadable, .rule'
    after reason;

create table if not exists {{ database }}.load_log
(
    load_id String,
    source LowCardinality(String),
    origin String comment 'File or table',
    started_at DateTime64(3, 'UTC'),
    finished_at DateTime64(3, 'UTC') default now64(3),
    rows UInt64 comment 'All rows of the origin: loaded, quarantined, duplicate and dropped',
    loaded UInt64,
    quarantined UInt64,
    duplicate UInt64 comment 'Of an id that was there before, in the source or in the load',
    dropped UInt64 comment 'Refunds that were left out, as the load was told',
    ignored Array(String) comment 'Columns of the origin that the contract does not name'
)
engine = MergeTree order by (source, started_at)
comment 'One row for each finished load';

alter table {{ database }}.load_log add column if not exists
    dropped UInt64 comment 'Refunds that were left out, as the load was told' after duplicate
{% endmacro %}

{% macro ddl_comment(text) %}
    {{- text | trim | replace('\\', '\\\\') | replace("'", "\\'") | replace(';\n', ', ') -}}
{% endmacro %}
