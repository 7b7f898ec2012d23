{# The SQL functions of every use case: predict_<use_case>, ..._full, and both for a given version.

   A view keeps the text that a function had when the view was created, but dictGet stays live:
   a promotion reaches every view at its next query. The key holds the contract's hash, so a view
   built for an older contract keeps the last champion that fits it. #}

{% macro create_predict_functions() %}
    {% if execute %}
        {% for use_case in use_cases() %}
            {% for statement in predict_functions(feature_contract(use_case)) %}
                {% do run_query(statement) %}
            {% endfor %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{% macro predict_functions(contract) %}
    {%- set registry = var('registry_database') -%}
    {%- set champion -%}
        dictGetOrDefault('{{ registry }}.champions', 'bundle', ('{{ contract.use_case }}', '{{ contract.hash }}'), toUInt64(0))
    {%- endset -%}
    {%- set key = "('" ~ contract.use_case ~ "', toUInt32(version))" -%}
    {%- set chosen -%}
        dictGetOrDefault('{{ registry }}.bundles', 'bundle', {{ key }}, toUInt64(throwIf(not dictHas('{{ registry }}.bundles', {{ key }}), 'There is no such version of {{ contract.use_case }}; see {{ registry }}.versions')))
    {%- endset -%}
    {%- set name = 'predict_' ~ contract.use_case -%}
    {{- return([
        _predict_function(name, contract, champion, full=false),
        _predict_function(name ~ '_full', contract, champion, full=true),
        _predict_function(name ~ '_at', contract, chosen, full=false, first='version'),
        _predict_function(name ~ '_full_at', contract, chosen, full=true, first='version'),
    ]) -}}
{% endmacro %}

{% macro _predict_function(name, contract, bundle, full, first=none) %}
    {%- set arguments = [first] if first else [] -%}
    {%- set numeric = [] -%}
    {%- set categorical = [] -%}
    {%- for feature in contract.features -%}
        {%- set column = adapter.quote(feature.name) -%}
        {%- do arguments.append(column) -%}
        {%- if feature.kind == 'numeric' -%}
            {#- A product is refused for text, dates and enums, which a cast would turn into numbers. -#}
            {%- do numeric.append('ifNull(toFloat64(' ~ column ~ ' * 1.), nan)') -%}
        {%- else -%}
            {%- do categorical.append("ifNull(toString(" ~ column ~ "), '')") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set call -%}
        treehouse_score({{ bundle }}, {{ _array(numeric, 'Float64') }}, {{ _array(categorical, 'String') }})
    {%- endset -%}
    {%- set answer = _named_tuple(call, contract.heads) if full else 'arrayElementOrNull(' ~ call ~ ', 2)' -%}
    {{- return(
        'create or replace function ' ~ adapter.quote(name) ~ _on_cluster() ~ ' as ('
        ~ arguments | join(', ') ~ ') -> ' ~ answer
    ) -}}
{% endmacro %}

{% macro _array(elements, type) %}
    {{- return(
        '[' ~ elements | join(', ') ~ ']' if elements else "emptyArray" ~ type ~ '()'
    ) -}}
{% endmacro %}

{# The scorer answers [version, head 1, head 2, ...], or [] where no version is promoted. The
   lambda binds that answer, so that the call stands in the query once. #}
{% macro _named_tuple(call, heads) %}
    {%- set values = [] -%}
    {%- set types = [] -%}
    {%- for head in heads -%}
        {%- do values.append('arrayElementOrNull(answer, ' ~ (loop.index + 1) ~ ')') -%}
        {%- do types.append(adapter.quote(head) ~ ' Nullable(Float64)') -%}
    {%- endfor -%}
    {%- do values.append('toUInt32(answer[1])') -%}
    {%- do types.append('version UInt32') -%}
    {{- return(
        'arrayMap(answer -> cast(tuple(' ~ values | join(', ') ~ "), 'Tuple("
        ~ types | join(', ') ~ ")'), [" ~ call ~ '])[1]'
    ) -}}
{% endmacro %}

{% macro _on_cluster() %}
    {%- set cluster = adapter.get_clickhouse_cluster_name() -%}
    {{- return(' on cluster ' ~ cluster if cluster else '') -}}
{% endmacro %}
