{# Experiments: who started and stopped what, which unit saw which variant, and the SQL functions
   that assign. Pure Jinja, so that Python renders the same text (training/experiments/state.py).
   Append-only: nothing is ever updated, and a full refresh of the dbt models never comes here. #}

{% macro experiments_ddl(database, credentials='', engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ database }}.experiments{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    experiment LowCardinality(String),
    action LowCardinality(String) comment 'start, grow or stop',
    actor String,
    reason String,
    description String comment 'What is tried, and why it should help',
    salt String comment 'Makes the assignment independent of other experiments',
    share Float64 comment 'Of all units, how many take part',
    variants Array(String) comment 'The control first',
    weights Array(Float64) comment 'Share of the participants in each variant; they sum to 1',
    model LowCardinality(String) comment 'Empty for a plain product experiment',
    versions Array(UInt32) comment 'The version that scores each variant; 0 is the champion',
    is_shadow Bool comment 'The last version scores everything and decides nothing',
    metrics Array(String) comment 'Of the var experiment_metrics; the first one is primary',
    direction LowCardinality(String) comment 'increase or decrease: what is better',
    pre_days UInt16 comment 'Days before the exposure that reduce variance; 0 for none',
    alpha Float64 comment 'False positives that are accepted',
    power Float64 comment 'Chance of finding a lift of minimum_lift',
    minimum_lift Float64 comment 'The smallest relative change worth finding',
    planned_units UInt64 comment 'In all variants together',
    method LowCardinality(String) comment 'always_valid: look at any time; fixed: once, at planned_units'
)
engine = {{ engine }} order by (experiment, at)
comment 'One row for each start, growth and stop of an experiment, with the definition after it';

create table if not exists {{ database }}.exposures{{ on_cluster }}
(
    experiment LowCardinality(String),
    unit String,
    variant LowCardinality(String),
    first_seen_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) default now64(3)
)
engine = {{ engine | replace('MergeTree', 'AggregatingMergeTree') }} order by (experiment, unit, variant)
comment 'Which unit saw which variant, and when first; inserting again changes nothing';
{%- if credentials is not none %}

create dictionary if not exists {{ database }}.assignments{{ on_cluster }}
(
    experiment String,
    salt String,
    bound UInt64,
    variants Array(String),
    edges Array(UInt64),
    model String,
    versions Array(UInt32),
    challenger UInt32
)
primary key experiment
source(clickhouse({{ credentials }} query '
    select
        experiment,
        now.1 as salt,
        if(now.7 or now.8, 0, toUInt64(now.2 * 4294967296)) as bound,
        now.3 as variants,
        arrayPushBack(arrayPopBack(arrayMap(
            edge -> toUInt64(edge * 4294967296), arrayCumSum(now.4)
        )), toUInt64(4294967296)) as edges,
        now.5 as model,
        now.6 as versions,
        if(now.7 and not now.8, now.6[-1], 0) as challenger
    from (
        select experiment, argMax(
            (salt, share, variants, weights, model, versions, is_shadow, action = ''stop''), at
        ) as now
        from {{ database }}.experiments
        group by experiment
    )
'))
layout(complex_key_hashed())
lifetime(min 1 max 3)
comment 'What variant() looks up: shares and weights as bounds of a 32-bit number';
{%- endif %}
{{ experiment_functions(database, on_cluster) }}
{% endmacro %}

{# variant(experiment, unit): the variant of a unit; '' outside the share, after the stop and for a
   unit that is null or empty. An unknown experiment is an error.

   SipHash-2-4 with a zero key of `salt:unit` (Aumasson and Bernstein 2012): any language computes
   the same. Its upper half decides who takes part, its lower half who gets what: a growing share
   only adds units, and nobody changes the variant. Changed weights move units at the edges. #}
{% macro experiment_functions(database, on_cluster='') %}
{%- set assignments = "'" ~ database | replace('`', '') ~ ".assignments'" -%}
{%- set unknown -%}
    throwIf(not dictHas({{ assignments }}, toString(experiment)), 'There is no such experiment; see {{ database | replace('`', '') }}.experiments')
{%- endset -%}
{%- set misfit -%}
    throwIf(dictGet({{ assignments }}, 'model', toString(experiment)) not in ('', model), 'The experiment is about another model; see {{ database | replace('`', '') }}.experiments')
{%- endset -%}
create or replace function variant{{ on_cluster }} as (experiment, unit) ->
    {{ _chosen(assignments, 'variants', "''", unknown) }};
create or replace function experiment_version{{ on_cluster }} as (model, experiment, unit) ->
    {{ _chosen(assignments, 'versions', 'toUInt32(0)', misfit) }}
{%- endmacro %}

{% macro _chosen(assignments, attribute, otherwise, refusal) -%}
{%- set hash -%}
    sipHash64(concat(dictGet({{ assignments }}, 'salt', toString(experiment)), ':', ifNull(toString(unit), '')))
{%- endset -%}
multiIf(
        {{ refusal }}, {{ otherwise }},
        ifNull(toString(unit), '') != '' and bitShiftRight({{ hash }}, 32) < dictGet({{ assignments }}, 'bound', toString(experiment)),
        dictGet({{ assignments }}, '{{ attribute }}', toString(experiment))[arrayFirstIndex(
            treehouse_edge -> bitAnd({{ hash }}, 4294967295) < treehouse_edge,
            dictGet({{ assignments }}, 'edges', toString(experiment))
        )],
        {{ otherwise }}
    )
{%- endmacro %}
