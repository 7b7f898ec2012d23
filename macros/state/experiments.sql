{# Experiments: who started and stopped what, which unit saw which variant, and the SQL functions
   that assign. Pure Jinja, so that Python renders the same text (training/treehouse/experiments/state.py).
   Append-only: nothing is ever updated, and a full refresh of the dbt models never comes here. #}

{% macro experiments_ddl(database, credentials='', engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
{%- set last = 9223372036854775806 -%}
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

create dictionary if not exists {{ database }}.assignment_log{{ on_cluster }}
(
    experiment String,
    since UInt64,
    until UInt64,
    state UInt64,
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
        toUInt64(toUnixTimestamp64Micro(at)) as since,
        toUInt64(leadInFrame(since, 1, {{ last }} + 1) over (
            partition by experiment order by at
            rows between unbounded preceding and unbounded following
        )) - 1 as until,
        0 as state,
        salt,
        if(is_shadow or action = ''stop'', 0, toUInt64(share * 4294967296)) as bound,
        variants,
        arrayPushBack(arrayPopBack(arrayMap(
            edge -> toUInt64(edge * 4294967296), arrayCumSum(weights)
        )), toUInt64(4294967296)) as edges,
        model,
        versions,
        if(is_shadow and action != ''stop'', versions[-1], 0) as challenger
    from {{ database }}.experiments
    where experiment != ''''
    union all
    select
        '''', 0, {{ last }}, toUInt64(toUnixTimestamp64Micro(max(at))),
        '''', 0, [], [], '''', [], 0
    from {{ database }}.experiments
'))
layout(complex_key_range_hashed())
range(min since max until)
lifetime(min 1 max 3)
comment 'What variant() looks up: shares and weights as bounds of a 32-bit number, and when they hold';
{%- endif %}
{{ experiment_functions(database, on_cluster) }}
{% endmacro %}

{# variant(experiment, unit): the variant of a unit; '' outside the share, after the stop and for a
   unit that is null or empty. An unknown experiment is an error.

   SipHash-2-4 with a zero key of `salt:unit` (Aumasson and Bernstein 2012): any language computes
   the same. Its upper half decides who takes part, its lower half who gets what: a growing share
   only adds units, and nobody changes the variant. Changed weights move units at the edges. #}
{% macro experiment_functions(database, on_cluster='') %}
{%- set unknown -%}
    throwIf(empty(treehouse_now.edges), 'There is no such experiment; see {{ database | replace('`', '') }}.experiments')
{%- endset -%}
{%- set misfit -%}
    throwIf(treehouse_now.model not in ('', model), 'The experiment is about another model; see {{ database | replace('`', '') }}.experiments')
{%- endset -%}
create or replace function variant{{ on_cluster }} as (experiment, unit) ->
    {{ _chosen(database, 'variants', "''", unknown) }};
create or replace function experiment_version{{ on_cluster }} as (model, experiment, unit) ->
    {{ _chosen(database, 'versions', 'toUInt32(0)', misfit) }}
{%- endmacro %}

{% macro _chosen(database, attribute, otherwise, refusal) -%}
{%- set hash = "sipHash64(concat(treehouse_now.salt, ':', ifNull(toString(unit), '')))" -%}
arrayMap(treehouse_now -> multiIf(
        {{ refusal }}, {{ otherwise }},
        ifNull(toString(unit), '') != '' and bitShiftRight({{ hash }}, 32) < treehouse_now.bound,
        treehouse_now.{{ attribute }}[arrayFirstIndex(
            treehouse_edge -> bitAnd({{ hash }}, 4294967295) < treehouse_edge, treehouse_now.edges
        )],
        {{ otherwise }}
    ), [{{ experiment_now(database, ['salt', 'bound', 'edges', 'model', attribute], 'experiment') }}])[1]
{%- endmacro %}

{# Some attributes of an experiment, as a named tuple; where it is unknown arrays are empty. One query
   sees one state of all experiments: the time of the last event that the dictionary knew, looked up
   once a query (macros/functions/champion.sql says why so), and what held at that time, which nothing changes
   any more. #}
{% macro experiment_now(database, attributes, experiment) -%}
{%- set log = "'" ~ database | replace('`', '') ~ ".assignment_log'" -%}
dictGet({{ log }}, ('{{ attributes | join("', '") }}'), toString({{ experiment }}), assumeNotNull((select dictGet({{ log }}, 'state', materialize(''), toUInt64(0)))))
{%- endmacro %}
