{# predict(): a model's answer for each row, its features bound by name.

   {{ predict('ltv') }}              predict_ltv(d1_sessions, ..., install_hour)
   {{ predict_full('ltv') }}         a named tuple: one field a head, and the version
   {{ predict('ltv', version=3) }}   version 3, whatever is promoted
   {{ predict('ltv', relation='f') }} columns of `f`

   The contract is the list of columns with `role: feature` in the use case's YAML. #}

{% macro predict(use_case, relation=none, version=none) %}
    {{- _predict_call('predict_' ~ use_case, use_case, relation, version) -}}
{% endmacro %}

{% macro predict_full(use_case, relation=none, version=none) %}
    {{- _predict_call('predict_' ~ use_case ~ '_full', use_case, relation, version) -}}
{% endmacro %}

{% macro _predict_call(function, use_case, relation, version) %}
    {%- if not execute -%} {{- return('null') -}} {%- endif -%}
    {%- set arguments = [] -%}
    {%- if version is not none -%}
        {%- do arguments.append(version ~ '') -%}
        {%- set function = function ~ '_at' -%}
    {%- endif -%}
    {%- for feature in feature_contract(use_case).features -%}
        {%- set name = adapter.quote(feature.name) -%}
        {%- do arguments.append((relation ~ '.' if relation else '') ~ name) -%}
    {%- endfor -%}
    {{- return(function ~ '(' ~ arguments | join(', ') ~ ')') -}}
{% endmacro %}

{# The contract of a use case: {use_case, features: [{name, kind}], heads, networks, hash}.
   training/treehouse/project/contract.py reads the same YAML to the same hash. #}
{% macro feature_contract(use_case) %}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.config.meta.use_case == use_case -%}
        {{- return(_node_contract(node)) -}}
    {%- endfor -%}
    {{- exceptions.raise_compiler_error(
        "There is no use case '" ~ use_case ~ "'. Expected one of: "
        ~ use_cases() | join(', ') ~ '. A use case is a features model with `meta: {use_case: ...}`.'
    ) -}}
{% endmacro %}

{% macro use_cases() %}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.config.meta.use_case -%}
        {%- do found.append(node.config.meta.use_case) -%}
    {%- endfor -%}
    {{- return(found | sort) -}}
{% endmacro %}

{% macro _node_contract(node) %}
    {%- set meta = node.config.meta -%}
    {%- do check_names(meta.heads or [], 'head', node, ['version', 'null']) -%}
    {%- set features = [] -%}
    {%- set parts = [] -%}
    {%- for column in node.columns.values() -%}
        {%- if (column.config.meta or column.meta).role == 'feature' -%}
            {%- do check_names([column.name], 'feature', node, ['split']) -%}
            {%- do check_type(column, node) -%}
            {%- set is_text = 'String' in column.data_type -%}
            {%- if column.data_type.startswith('Array(') -%}
                {%- set kind = 'tokens' if is_text else 'series' -%}
            {%- else -%}
                {%- set kind = 'categorical' if is_text else 'numeric' -%}
            {%- endif -%}
            {%- do features.append({'name': column.name, 'kind': kind}) -%}
            {%- do parts.append(column.name ~ ' ' ~ kind) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set networks = meta.networks or features | selectattr('kind', 'in', ['tokens', 'series']) | list | length > 0 -%}
    {%- set text = meta.use_case ~ '(' ~ parts | join(', ') ~ ') -> (' ~ meta.heads | join(', ') ~ ')' -%}
    {{- return({
        'use_case': meta.use_case, 'features': features, 'heads': meta.heads, 'networks': networks,
        'hash': local_md5(text ~ (' with networks' if networks else '')),
    }) -}}
{% endmacro %}
