{# A model within an experiment, and a challenger in the champion's shadow.

   {{ predict_variant('ltv', 'ltv_v4', 'user_id') }}       the version of the unit's variant answers
   {{ predict_variant_full('ltv', 'ltv_v4', 'user_id') }}  a named tuple: its heads and the version
   {{ predict_shadow('ltv', 'ltv_v4_shadow') }}            (champion, challenger, difference)

   Outside the experiment, before its start and after its stop the champion answers. #}

{% macro predict_variant(use_case, experiment, unit, relation=none) %}
    {{- _experiment_call(use_case, '_variant', [experiment_literal(experiment), unit], relation) -}}
{% endmacro %}

{% macro predict_variant_full(use_case, experiment, unit, relation=none) %}
    {{- _experiment_call(use_case, '_variant_full', [experiment_literal(experiment), unit], relation) -}}
{% endmacro %}

{% macro predict_shadow(use_case, experiment, relation=none) %}
    {{- _experiment_call(use_case, '_shadow', [experiment_literal(experiment)], relation) -}}
{% endmacro %}

{% macro experiment_literal(experiment) %}
    {{- return(text_literal(experiment)) -}}
{% endmacro %}

{% macro _experiment_call(use_case, suffix, arguments, relation) %}
    {%- if not execute -%} {{- return('null') -}} {%- endif -%}
    {%- for name in _arguments(feature_contract(use_case)) -%}
        {%- do arguments.append((relation ~ '.' if relation else '') ~ name) -%}
    {%- endfor -%}
    {{- return('predict_' ~ use_case ~ suffix ~ '(' ~ arguments | join(', ') ~ ')') -}}
{% endmacro %}

{# The SQL functions behind them; a version that is not in the registry is the champion. #}
{% macro experiment_predict_functions(contract, champion) %}
    {%- set registry = var('registry_database') -%}
    {%- set name = 'predict_' ~ contract.use_case -%}
    {%- set bundle -%}
        dictGetOrDefault('{{ registry }}.bundles', 'bundle', ('{{ contract.use_case }}', experiment_version('{{ contract.use_case }}', treehouse_experiment, treehouse_unit)), assumeNotNull({{ champion }}))
    {%- endset -%}
    {%- set challenger -%}
        dictGetOrDefault('{{ registry }}.bundles', 'bundle', ('{{ contract.use_case }}', arrayMap(treehouse_now -> if(treehouse_now.model = '{{ contract.use_case }}', treehouse_now.challenger, toUInt32(0)), [{{ experiment_now(registry, ['model', 'challenger'], 'treehouse_experiment') }}])[1]), toUInt64(0))
    {%- endset -%}
    {%- set answers -%}
        arrayElementOrNull({{ _scorer_call('treehouse_score', contract, champion) }}, 2), arrayElementOrNull({{ _scorer_call('treehouse_score', contract, challenger) }}, 2)
    {%- endset -%}
    {%- set both -%}
        arrayMap(answers -> cast(tuple(answers.1, answers.2, answers.2 - answers.1), 'Tuple(champion Nullable(Float64), challenger Nullable(Float64), difference Nullable(Float64))'), [({{ answers }})])[1]
    {%- endset -%}
    {{- return([
        _predict_function(name ~ '_variant', contract, bundle, full=false, first='treehouse_experiment, treehouse_unit'),
        _predict_function(name ~ '_variant_full', contract, bundle, full=true, first='treehouse_experiment, treehouse_unit'),
        _create_function(name ~ '_shadow', ['treehouse_experiment'] + _arguments(contract), both),
    ]) -}}
{% endmacro %}
