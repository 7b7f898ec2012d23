{# The SQL functions of every use case: predict_<use_case>, ..._full, and both for a given version
   or an experiment (macros/functions/experiments.sql);
   explain_<use_case>, what each feature contributed, and ..._top, the strongest k of them. Models
   that answer what comes next in a sequence have no explain functions: no tree, so no contributions.

   A view keeps the text that a function had when the view was created, but the lookup in it stays
   live: a promotion reaches every view at its next query. The key holds the contract's hash, so a
   view built for an older contract keeps the last champion that fits it.

   One query is answered by one version, whatever it names and how often (macros/functions/champion.sql).

   predict_<use_case>_row, its kin and explain_<use_case>_row take one named tuple and bind by name:
   `tuple(* except (...)) ... settings enable_named_columns_in_function_tuple = 1`. A star among
   several arguments is counted as one where a view or table is created, and this is one.

   Arguments of our own begin with treehouse_, which no feature's name may (training/treehouse/project/contract.py). #}

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
    {%- set champion = champion_bundle(registry, contract.use_case, contract.hash) -%}
    {%- set key = "('" ~ contract.use_case ~ "', toUInt32(treehouse_version))" -%}
    {%- set chosen -%}
        dictGetOrDefault('{{ registry }}.bundles', 'bundle', {{ key }}, toUInt64(throwIf(not dictHas('{{ registry }}.bundles', {{ key }}), 'There is no such version of {{ contract.use_case }}; see {{ registry }}.versions')))
    {%- endset -%}
    {%- set name = 'predict_' ~ contract.use_case -%}
    {{- return([
        _predict_function(name, contract, champion, full=false),
        _predict_function(name ~ '_full', contract, champion, full=true),
        _predict_function(name ~ '_at', contract, chosen, full=false, first='treehouse_version'),
        _predict_function(name ~ '_full_at', contract, chosen, full=true, first='treehouse_version'),
        _row_function(name ~ '_row', contract, champion, full=false),
        _row_function(name ~ '_row_full', contract, champion, full=true),
        _row_function(name ~ '_row_at', contract, chosen, full=false, first='treehouse_version'),
        _row_function(name ~ '_row_full_at', contract, chosen, full=true, first='treehouse_version'),
    ] + _explain_functions(contract, champion) + experiment_predict_functions(contract, champion)) -}}
{% endmacro %}

{% macro _explain_functions(contract, champion) %}
    {%- set has_trees = 'next_1' not in contract.heads -%}
    {%- set name = 'explain_' ~ contract.use_case -%}
    {{- return([
        _create_function(name, _arguments(contract), _explanation(contract, champion)),
        _explain_top_function(contract),
        _of_row(name ~ '_row', _explanation(contract, _checked(champion, name, contract), 'treehouse_row')),
    ] if has_trees else []) -}}
{% endmacro %}

{% macro _predict_function(name, contract, bundle, full, first=none) %}
    {{- return(_create_function(
        name, ([first] if first else []) + _arguments(contract), _answer(contract, bundle, full)
    )) -}}
{% endmacro %}

{# What a call answers: its first head, or a tuple of all of them. #}
{% macro _answer(contract, bundle, full, row=none) %}
    {%- set call = _scorer_call('treehouse_score', contract, bundle, row) -%}
    {{- return(_named_tuple(call, contract.heads) if full else 'arrayElementOrNull(' ~ call ~ ', 2)') -}}
{% endmacro %}

{% macro _row_function(name, contract, bundle, full, first=none) %}
    {%- set answer = _answer(contract, _checked(bundle, name, contract), full, 'treehouse_row') -%}
    {{- return(_of_row(name, answer, first)) -}}
{% endmacro %}

{# A function of a named tuple. The lambda binds it, so that it stands in the query once. #}
{% macro _of_row(name, answer, first=none) %}
    {{- return(_create_function(
        name, ([first] if first else []) + ['treehouse_tuple'],
        'arrayMap(treehouse_row -> ' ~ answer ~ ', [treehouse_tuple])[1]'
    )) -}}
{% endmacro %}

{# The bundle, where the tuple has the features and nothing else. Of a feature that it lacks the
   engine's analysis tells by itself, so what is left to find is a name too many. #}
{% macro _checked(bundle, name, contract) %}
    {%- set told = text_literal(
        name ~ ' takes a tuple of these names and no others; it has names where the query ends in '
        ~ 'settings enable_named_columns_in_function_tuple = 1: '
        ~ contract.features | map(attribute='name') | join(', ')
    ) -%}
    {{- return(bundle ~ ' + throwIf(length(tupleNames(treehouse_row)) != ' ~ contract.features | length ~ ', ' ~ told ~ ')') -}}
{% endmacro %}

{# (base, contributions): they add up to the margin, the answer before exp or the logistic. #}
{% macro _explanation(contract, bundle, row=none) %}
    {%- set answer -%}
        arrayMap(answer -> cast(tuple(arrayElementOrNull(answer, 1), if(empty(answer), [], {{ _contributions(contract) }})), 'Tuple(base Nullable(Float64), contributions Array(Tuple(feature String, contribution Float64)))'), [{{ _scorer_call('treehouse_explain', contract, bundle, row) }}])[1]
    {%- endset -%}
    {{- return(answer) -}}
{% endmacro %}

{# Each feature's contribution out of `answer`. What the networks' outputs contribute to a forest
   that reads them lies between the two kinds, and is told as one: their number is the version's. #}
{% macro _contributions(contract) %}
    {%- set numeric = _feature_names(contract, 'numeric') -%}
    {%- set categorical = _feature_names(contract, 'categorical') -%}
    {%- if not contract.networks -%}
        {{- return('arrayZip([' ~ (numeric + categorical) | join(', ') ~ '], arraySlice(answer, 2))') -}}
    {%- endif -%}
    {%- set own = (numeric + categorical) | length -%}
    {{- return(
        'arrayZip([' ~ (numeric + ["'networks'"] + categorical) | join(', ') ~ '], arrayConcat('
        ~ 'arraySlice(answer, 2, ' ~ numeric | length ~ '), '
        ~ '[arraySum(arraySlice(answer, ' ~ (2 + numeric | length) ~ ', length(answer) - ' ~ (1 + own) ~ '))], '
        ~ 'arraySlice(answer, length(answer) - ' ~ (categorical | length - 1) ~ ')))'
    ) -}}
{% endmacro %}

{% macro _feature_names(contract, kind) %}
    {%- set names = [] -%}
    {%- for feature in contract.features if feature.kind == kind -%}
        {%- do names.append(text_literal(feature.name)) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{% macro _explain_top_function(contract) %}
    {%- set name = 'explain_' ~ contract.use_case -%}
    {%- set arguments = _arguments(contract) -%}
    {%- set answer -%}
        arraySlice(arraySort(part -> -abs(part.2), tupleElement({{ name }}({{ arguments | join(', ') }}), 'contributions')), 1, treehouse_k)
    {%- endset -%}
    {{- return(_create_function(name ~ '_top', ['treehouse_k'] + arguments, answer)) -}}
{% endmacro %}

{% macro _create_function(name, arguments, answer) %}
    {{- return(
        'create or replace function ' ~ adapter.quote(name) ~ _on_cluster() ~ ' as ('
        ~ arguments | join(', ') ~ ') -> ' ~ answer
    ) -}}
{% endmacro %}

{% macro _arguments(contract) %}
    {%- set names = [] -%}
    {%- for feature in contract.features -%}
        {%- do names.append(adapter.quote(feature.name)) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{# `row`: the name of a tuple that holds the features; none for columns of their names. #}
{% macro _scorer_call(function, contract, bundle, row=none) %}
    {%- set elements = {'numeric': [], 'categorical': [], 'tokens': [], 'series': []} -%}
    {%- for feature in contract.features -%}
        {%- set column = 'tupleElement(' ~ row ~ ', ' ~ text_literal(feature.name) ~ ')' if row else adapter.quote(feature.name) -%}
        {%- if feature.kind == 'numeric' -%}
            {#- A product is refused for text, dates and enums, which a cast would turn into numbers. -#}
            {%- do elements.numeric.append(column ~ ' * 1.') -%}
        {%- elif feature.kind == 'categorical' -%}
            {%- do elements.categorical.append('toString(' ~ column ~ ')') -%}
        {%- elif feature.kind == 'tokens' -%}
            {%- do elements.tokens.append('arrayMap(v -> toString(v), ' ~ column ~ ')') -%}
        {%- else -%}
            {%- do elements.series.append('arrayMap(v -> v * 1., ' ~ column ~ ')') -%}
        {%- endif -%}
    {%- endfor -%}
    {#- Null goes in as it is; a lambda would cost a single row a tenth of its time. -#}
    {%- set numeric = _array(elements.numeric, 'Float64') -%}
    {%- set categorical = _array(elements.categorical, 'String') -%}
    {%- if contract.networks -%}
        {%- set arrays = [numeric, categorical, '[' ~ elements.tokens | join(', ') ~ ']', '[' ~ elements.series | join(', ') ~ ']'] -%}
        {%- set numeric = 'arrayConcat(' ~ numeric ~ ', treehouse_network(' ~ ([bundle] + arrays) | join(', ') ~ '))' -%}
    {%- endif -%}
    {{- return(function ~ '(' ~ [bundle, numeric, categorical] | join(', ') ~ ')') -}}
{% endmacro %}

{% macro _array(elements, type) %}
    {{- return('[' ~ elements | join(', ') ~ ']' if elements else 'emptyArray' ~ type ~ '()') -}}
{% endmacro %}

{# The scorer answers [version, head 1, head 2, ...], or [] where no version is promoted. The
   lambda binds that answer, so that the call stands in the query once. #}
{% macro _named_tuple(call, heads) %}
    {%- set values = [] -%}
    {%- set types = [] -%}
    {%- for head in heads -%}
        {%- do values.append('arrayElementOrNull(answer, ' ~ (loop.index + 1) ~ ')') -%}
        {%- do types.append(escape_literal(adapter.quote(head)) ~ ' Nullable(Float64)') -%}
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
